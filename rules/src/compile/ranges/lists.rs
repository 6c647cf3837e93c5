//! The classes between the keys of cells, as lists that equal cells share.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Distinct lists of classes, all of one length.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Lists {
    length: usize,
    /// How many there may be.
    most: u64,
    numbers: HashMap<Vec<u32>, u32, RandomState>,
    words: Vec<u32>,
    /// Lists that are new are refused: the tables have no room for them.
    pub(super) closed: bool,
}

impl Lists {
    /// Lists that end a lookup: one for each class, and there is always room for those.
    pub(super) fn of(classes: &[u32], length: usize, most: u64) -> Option<Self> {
        let mut lists = Self {
            length,
            most,
            numbers: HashMap::default(),
            words: Vec::new(),
            closed: false,
        };
        for class in classes {
            lists.number(&[*class])?;
        }
        Some(lists)
    }

    /// The number of a list that begins with these classes; `None` when there is no room for one more.
    pub(super) fn number(&mut self, classes: &[u32]) -> Option<u32> {
        // What stands behind is never read. Taking turns lets more cells share a list: mostly there are two classes, inside of a
        // set and outside.
        let [first, .., last] = classes else {
            return self.intern(vec![*classes.first()?; self.length]);
        };
        let before = classes
            .len()
            .checked_sub(2)
            .and_then(|at| classes.get(at))
            .unwrap_or(first);
        let turns = [*before, *last].into_iter().cycle();
        let list = classes.iter().copied().chain(turns).take(self.length).collect();
        self.intern(list)
    }

    fn intern(&mut self, list: Vec<u32>) -> Option<u32> {
        if let Some(number) = self.numbers.get(&list) {
            return Some(*number);
        }
        let number = u32::try_from(self.numbers.len()).ok();
        let number = number.filter(|number| !self.closed && u64::from(*number) < self.most)?;
        self.words.extend_from_slice(&list);
        self.numbers.insert(list, number);
        Some(number)
    }

    pub(super) fn words(&self) -> &[u32] {
        &self.words
    }
}
