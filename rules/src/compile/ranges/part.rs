//! Part of the address line: all addresses that begin with the same bits, and the runs that begin among them.

use super::super::partition::Run;

/// All addresses that begin with the same `depth` bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'r> {
    /// Bits that all its addresses share.
    pub(super) depth: u32,
    /// The class of its first address.
    pub(super) class: u32,
    /// The runs that begin behind its first address.
    pub(super) inside: &'r [Run],
}

impl<'r> Part<'r> {
    /// All addresses.
    pub(super) fn all(runs: &'r [Run]) -> Self {
        Self::behind(0, runs)
    }

    /// Addresses that share so many bits, from the first address of the first run on.
    pub(super) fn behind(depth: u32, runs: &'r [Run]) -> Self {
        let (class, inside) = match runs.split_first() {
            Some((first, rest)) => (first.class, rest),
            None => (0, runs),
        };
        Self { depth, class, inside }
    }

    /// The bits of a run's first address behind those that all of the part share, at the top.
    fn rest(self, run: &Run) -> u128 {
        run.first.checked_shl(self.depth).unwrap_or(0)
    }

    /// The first `bits` of those, at most 63.
    fn digit(self, run: &Run, bits: u32) -> u64 {
        u64::try_from(self.rest(run) >> (128 - bits)).unwrap_or(u64::MAX)
    }

    /// Whether a run begins where its digit does.
    fn is_whole(self, run: &Run, bits: u32) -> bool {
        self.rest(run) << bits == 0
    }

    /// The digits at which something begins, in order, none of them 0: from each to the next, and before the first, all addresses
    /// whose digit it is are of one class, or it is one digit. `None` when there are more than `most`.
    pub(super) fn keys(self, bits: u32, most: usize) -> Option<Vec<u64>> {
        let mut keys: Vec<u64> = Vec::with_capacity(most);
        for run in self.inside {
            let digit = self.digit(run, bits);
            let behind = (!self.is_whole(run, bits)).then_some(digit + 1);
            for key in [Some(digit), behind].into_iter().flatten() {
                if keys.last().copied().unwrap_or(0) < key && key >> bits == 0 {
                    if keys.len() == most {
                        return None;
                    }
                    keys.push(key);
                }
            }
        }
        Some(keys)
    }

    /// Whether every run begins where a digit of so many bits does.
    pub(super) fn is_exact(self, bits: u32) -> bool {
        self.inside.iter().all(|run| self.is_whole(run, bits))
    }

    /// The parts that begin with each digit of so many bits that is 0 or among `keys`, of which there are none but those at which
    /// something begins.
    pub(super) fn cut(self, keys: impl Iterator<Item = u64>, bits: u32) -> impl Iterator<Item = Self> {
        let (mut class, mut left) = (self.class, self.inside);
        std::iter::once(0).chain(keys).map(move |key| {
            // Everything before the digit; a run that begins with it is the class of its first address.
            let is_before = |run: &&Run| {
                let digit = self.digit(run, bits);
                digit < key || digit == key && self.is_whole(run, bits)
            };
            let before = left.iter().take_while(is_before).count();
            if let Some(run) = before.checked_sub(1).and_then(|last| left.get(last)) {
                class = run.class;
            }
            left = left.get(before..).unwrap_or_default();
            let inside = left.iter().take_while(|run| self.digit(run, bits) == key).count();
            Self {
                depth: (self.depth + bits).min(128),
                class,
                inside: left.get(..inside).unwrap_or_default(),
            }
        })
    }

    /// How many runs begin in parts of so many bits where no more than `most` do, each at a digit of `digit_bits`: cells that need
    /// nothing below.
    pub(super) fn held(self, bits: u32, most: usize, digit_bits: u32) -> u64 {
        let mut held = 0;
        let mut left = self.inside;
        while let Some(first) = left.first() {
            let digit = self.digit(first, bits);
            let length = left
                .iter()
                .take_while(|run| self.digit(run, bits) == digit)
                .count();
            let (together, rest) = left.split_at(length);
            if length <= most && together.iter().all(|run| self.is_whole(run, bits + digit_bits)) {
                held += length as u64;
            }
            left = rest;
        }
        held
    }

    /// For each number of bits up to `most`, how many of its parts of that size hold more than one class. Runs that begin where a
    /// part does make none, so this is a little too much.
    pub(super) fn divided(self, most: u32) -> Vec<u64> {
        // Runs next to each other part company at some bit: from there on they count as two.
        let mut at = vec![0_u64; usize::try_from(most).unwrap_or(0) + 1];
        let mut count = |bits: u32| {
            if let Some(count) = usize::try_from(bits).ok().and_then(|bits| at.get_mut(bits)) {
                *count += 1;
            }
        };
        let mut last = None;
        for run in self.inside {
            let rest = self.rest(run);
            match last.replace(rest) {
                None => count(0),
                Some(last) => count((rest ^ last).leading_zeros() + 1),
            }
        }
        let mut sum = 0;
        at.iter()
            .map(|new| {
                sum += new;
                sum
            })
            .collect()
    }
}
