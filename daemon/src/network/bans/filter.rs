//! The filter that packets read before anything else of bans, mapped into this process.
//!
//! The daemon alone writes it. A bit too many costs packets time; a bit too few lets a banned source in: bits are set before the length
//! that makes packets look at them, and cleared only for a whole new set.

#![expect(unsafe_code, reason = "stores into memory that the kernel shares")]

use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::MapData;
use memmap2::MmapMut;
use ravelin_datapath::wire::{
    BanKey, FILTER_WORDS, Lengths, NARROW_CLASS, Prefix, ban_marks, filter_word, narrow_class, narrow_mark,
};

use crate::network::tables::{TablesError, mapped};

/// The mapped filter.
#[derive(Debug)]
pub(super) struct Filter(MmapMut);

/// Words that are, or are to be, those of a filter.
#[derive(Debug)]
pub(super) struct Bits {
    words: Vec<u64>,
    /// The size of the Bloom filter among them.
    class: u32,
}

impl Filter {
    pub(super) fn open(map: &MapData) -> Result<Self, TablesError> {
        mapped(map, FILTER_WORDS as usize * size_of::<u64>()).map(Self)
    }

    /// Sets the bits of a ban.
    pub(super) fn mark(&self, prefix: Prefix, key: BanKey) {
        each_mask(prefix, key, self.class(), |word, mask| {
            if let Some(word) = self.word(word) {
                word.fetch_or(mask, Ordering::Release);
            }
        });
    }

    /// Makes packets look for bans of these lengths, and no others.
    pub(super) fn set_lengths(&self, lengths: [u64; Lengths::COUNT]) {
        for (index, word) in (0..).zip(lengths) {
            if let Some(slot) = self.word(index)
                && slot.load(Ordering::Relaxed) != word
            {
                slot.store(word, Ordering::Release);
            }
        }
    }

    /// Replaces all bits. Those of every live ban must be among the new ones.
    pub(super) fn replace(&self, bits: &Bits) {
        // Bits that were not there first, in each place where packets may look from now on; then that they look there; then the others go.
        for (index, word) in (0..).zip(&bits.words).skip(filter_word(0) as usize) {
            if let Some(slot) = self.word(index)
                && slot.load(Ordering::Relaxed) & word != *word
            {
                slot.fetch_or(*word, Ordering::Release);
            }
        }
        if let Some(class) = self.word(NARROW_CLASS) {
            class.store(bits.class.into(), Ordering::Release);
        }
        for (index, word) in (0..).zip(&bits.words).skip(filter_word(0) as usize) {
            if let Some(slot) = self.word(index)
                && slot.load(Ordering::Relaxed) != *word
            {
                slot.store(*word, Ordering::Release);
            }
        }
    }

    fn class(&self) -> u32 {
        let class = self.word(NARROW_CLASS).map(|class| class.load(Ordering::Relaxed));
        class.and_then(|class| u32::try_from(class).ok()).unwrap_or(0)
    }

    fn word(&self, index: u32) -> Option<&AtomicU64> {
        if index >= FILTER_WORDS {
            return None;
        }
        let words = self.0.as_ptr().cast::<u64>().cast_mut();
        // SAFETY: the mapping is writable, aligned to a page, holds `FILTER_WORDS` words and lives as long as `self`; `index` was
        // just compared. Nobody in this process has any other reference to it; programs of the kernel only load.
        Some(unsafe { AtomicU64::from_ptr(words.add(index as usize)) })
    }
}

impl Bits {
    /// No bits yet, and room for so many narrow bans.
    pub(super) fn new(bans: u32) -> Self {
        Self {
            words: vec![0; FILTER_WORDS as usize],
            class: narrow_class(bans),
        }
    }

    pub(super) fn mark(&mut self, prefix: Prefix, key: BanKey) {
        each_mask(prefix, key, self.class, |word, mask| {
            if let Some(word) = self.words.get_mut(word as usize) {
                *word |= mask;
            }
        });
    }
}

/// The words in which a ban has bits, with those bits.
fn each_mask(prefix: Prefix, key: BanKey, class: u32, mut take: impl FnMut(u32, u64)) {
    let bits = ban_marks(prefix, key);
    let mut bit = bits.start;
    while bit < bits.end {
        let next = ((bit >> 6) + 1) << 6;
        let end = next.min(bits.end);
        let ones = u64::MAX >> (64 - (end - bit));
        take(filter_word(bit), ones << (bit & 63));
        bit = end;
    }
    if let Some((word, mask)) = narrow_mark(prefix, key, class) {
        take(word, mask);
    }
}

#[cfg(test)]
mod tests {
    use ravelin_datapath::wire::{Prefix, ban_marks, filter_word, narrow_mark};

    use super::Bits;
    use crate::network::bans::key;

    #[test]
    fn a_ban_marks_exactly_its_bits() {
        for text in [
            "10.0.0.0/8",
            "192.0.2.0/23",
            "192.0.2.7/32",
            "128.0.0.0/1",
            "2001::/16",
            "2001:db8::/29",
            "2001:db8::/33",
            "2001:db8::1/128",
        ] {
            let [key] = key::keys(text.parse().unwrap())[..] else {
                panic!("{text} has one key")
            };
            let prefix = Prefix::of_tag(key[2]).unwrap();
            let mut bits = Bits::new(100_000);
            bits.mark(prefix, key);
            let range = ban_marks(prefix, key);
            let set = |bit: u32| bits.words[filter_word(bit) as usize] >> (bit & 63) & 1 == 1;
            assert!(range.clone().all(set), "{text}");
            let count: u32 = bits.words.iter().map(|word| word.count_ones()).sum();
            let (word, mask) = narrow_mark(prefix, key, bits.class).unwrap_or((0, 0));
            assert_eq!(bits.words[word as usize] & mask, mask, "{text}");
            assert_eq!(count as usize, range.len() + mask.count_ones() as usize, "{text}");
        }
    }
}
