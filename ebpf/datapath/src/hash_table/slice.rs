//! A table in memory that this process shares with programs in the kernel, or with its own threads.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{Line, Lines};
use crate::wire::HASH_NUMBERS;

/// Lines that follow each other in memory.
#[derive(Clone, Copy, Debug)]
pub struct SliceLines<'m> {
    words: &'m [AtomicU64],
    /// Words of a line.
    line: usize,
    secret: &'m [u64; HASH_NUMBERS],
}

impl<'m> SliceLines<'m> {
    /// The lines of so many words each, a power of two of them; what is beyond is not used.
    #[must_use]
    pub const fn new(words: &'m [AtomicU64], line: usize, secret: &'m [u64; HASH_NUMBERS]) -> Self {
        Self { words, line, secret }
    }
}

impl<'m> Lines for SliceLines<'m> {
    type Line = &'m [AtomicU64];

    fn mask(&self) -> u32 {
        let lines = self.words.len() / self.line;
        // Of none there is no first either: `line` says so.
        (1_u32 << lines.max(1).ilog2()) - 1
    }

    fn secret(&self, index: usize) -> u64 {
        self.secret.get(index).copied().unwrap_or(0)
    }

    fn line(&self, number: u32) -> Option<&'m [AtomicU64]> {
        let start = number as usize * self.line;
        self.words.get(start..start + self.line)
    }
}

impl Line for &[AtomicU64] {
    fn load(&self, index: usize) -> u64 {
        self.get(index).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn store(&self, index: usize, word: u64) {
        if let Some(place) = self.get(index) {
            place.store(word, Ordering::Relaxed);
        }
    }

    fn swap(&self, index: usize, old: u64, new: u64) -> bool {
        self.get(index).is_some_and(|word| {
            let done = word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed);
            done.is_ok()
        })
    }

    fn from(&self, index: usize) -> Self {
        self.get(index..).unwrap_or_default()
    }
}
