//! The growing table image: words, with what must be aligned aligned.

use ravelin_datapath::wire::{FAR_DOUBLES, MAX_TABLE_WORDS, TABLE_ALIGNMENT};

use super::CompileError;

/// All table words of a generation.
#[derive(Debug)]
pub(super) struct Words {
    words: Vec<u32>,
    /// Bytes that they may take.
    limit: u64,
}

impl Words {
    /// No words yet, and room for so many bytes.
    pub(super) fn within(bytes: u64) -> Self {
        Self {
            words: Vec::new(),
            limit: bytes.min(u64::from(MAX_WORDS) * 4),
        }
    }

    /// Appends a table; returns the index of its first word.
    pub(super) fn table(&mut self, words: &[u32]) -> Result<u32, CompileError> {
        let first = self.position()?;
        self.words.extend_from_slice(words);
        self.fit()?;
        Ok(first)
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.words.len() as u64 * 4
    }

    /// Bytes that may still be appended.
    pub(super) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.bytes())
    }

    /// Why nothing more fits.
    pub(super) fn too_large(&self) -> CompileError {
        CompileError::TooLarge { limit: self.limit }
    }

    /// Appends 64-bit words, low half first, at an even index; returns the index of the first half.
    pub(super) fn doubles(&mut self, doubles: impl Iterator<Item = u64>) -> Result<u32, CompileError> {
        self.align(2);
        let first = self.position()?;
        self.words.extend(doubles.flat_map(halves));
        self.fit()?;
        Ok(first)
    }

    /// Appends numbers of 16 bits, two a word, the first in the low half; returns the index of the first word.
    pub(super) fn halves(&mut self, halves: impl Iterator<Item = u32>) -> Result<u32, CompileError> {
        let first = self.position()?;
        let mut halves = halves;
        while let Some(low) = halves.next() {
            self.words.push(low & 0xffff | halves.next().unwrap_or(0) << 16);
        }
        self.fit()?;
        Ok(first)
    }

    /// The index of the next cache line, in doubles: what is appended next stands there.
    pub(super) fn line_of_doubles(&mut self) -> Result<u32, CompileError> {
        self.align(LINE_WORDS);
        Ok(self.position()? / 2)
    }

    /// All words, a multiple of what is read at once.
    pub(super) fn into_inner(mut self) -> Result<Vec<u32>, CompileError> {
        self.words.push(0);
        self.align(LINE_WORDS);
        self.fit()?;
        Ok(self.words)
    }

    fn align(&mut self, to: usize) {
        self.words.resize(self.words.len().next_multiple_of(to), 0);
    }

    fn position(&self) -> Result<u32, CompileError> {
        u32::try_from(self.words.len()).map_err(|_overflow| self.too_large())
    }

    fn fit(&self) -> Result<(), CompileError> {
        if self.bytes() > self.limit {
            return Err(self.too_large());
        }
        Ok(())
    }
}

/// The halves of a 64-bit word, the low one first.
#[expect(clippy::cast_possible_truncation, reason = "halves")]
pub(super) const fn halves(double: u64) -> [u32; 2] {
    [double as u32, (double >> 32) as u32]
}

/// Words of a cache line.
const LINE_WORDS: usize = 16;

/// What the kernel can take, whatever the policy allows; alignment may add a line.
#[expect(clippy::cast_possible_truncation, reason = "the constant is 16")]
const MAX_WORDS: u32 = MAX_TABLE_WORDS - 2 * LINE_WORDS as u32;

const _: () =
    assert!(LINE_WORDS == FAR_DOUBLES as usize * 2 && LINE_WORDS.is_multiple_of(TABLE_ALIGNMENT as usize));
