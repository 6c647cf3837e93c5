//! Number → reason, in a pinned map. A feed bans a million addresses for one reason: bans hold its number.

use std::collections::HashMap;

use aya::maps::{HashMap as BpfHashMap, MapData, MapError};
use ravelin_datapath::wire::{BAN_REASON_BYTES, BAN_REASONS};

/// The pinned reasons, and where each is found.
#[derive(Debug)]
pub(super) struct Reasons {
    map: BpfHashMap<MapData, u32, [u8; BAN_REASON_BYTES]>,
    numbers: HashMap<String, u32>,
    texts: HashMap<u32, String>,
    /// Where the search for a free number goes on.
    next: u32,
}

impl Reasons {
    pub(super) fn open(map: BpfHashMap<MapData, u32, [u8; BAN_REASON_BYTES]>) -> Result<Self, MapError> {
        let (mut numbers, mut texts) = (HashMap::new(), HashMap::new());
        for entry in map.iter() {
            let (number, bytes) = entry?;
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
            numbers.insert(text.clone(), number);
            texts.insert(number, text);
        }
        Ok(Self {
            map,
            numbers,
            texts,
            next: 1,
        })
    }

    /// The number of a reason, a new one if need be; 0, which has no text, when there are too many of them: the ban is what counts.
    pub(super) fn number(&mut self, text: &str) -> Result<u32, MapError> {
        if text.is_empty() {
            return Ok(0);
        }
        if let Some(number) = self.numbers.get(text) {
            return Ok(*number);
        }
        if self.texts.len() + 1 >= BAN_REASONS as usize {
            return Ok(0);
        }
        while self.texts.contains_key(&self.next) || self.next == 0 {
            self.next = (self.next + 1) % BAN_REASONS;
        }
        let number = self.next;
        let mut bytes = [0; BAN_REASON_BYTES];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        self.map.insert(number, bytes, 0)?;
        self.numbers.insert(text.to_owned(), number);
        self.texts.insert(number, text.to_owned());
        Ok(number)
    }

    /// The text of a number.
    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(&number).map_or("", String::as_str)
    }

    /// Forgets the reasons that no ban has: `used` says which any has.
    pub(super) fn keep(&mut self, used: impl Fn(u32) -> bool) -> Result<(), MapError> {
        let unused: Vec<u32> = self
            .texts
            .keys()
            .copied()
            .filter(|number| !used(*number))
            .collect();
        for number in unused {
            self.map.remove(&number)?;
            if let Some(text) = self.texts.remove(&number) {
                self.numbers.remove(&text);
            }
        }
        Ok(())
    }
}
