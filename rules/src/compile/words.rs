//! The growing table image: words, with what must be aligned aligned.

use ravelin_datapath::wire::{MAX_TABLE_WORDS, NODE_WORDS, Node};

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

    /// Appends lists one behind the other; returns the index of the first word of each.
    pub(super) fn lists(&mut self, lists: &[Vec<u32>]) -> Result<Vec<u32>, CompileError> {
        lists.iter().map(|list| self.table(list)).collect()
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
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a 64-bit word")]
    pub(super) fn doubles(&mut self, doubles: impl Iterator<Item = u64>) -> Result<u32, CompileError> {
        self.align(2);
        let first = self.position()?;
        self.words
            .extend(doubles.flat_map(|double| [double as u32, (double >> 32) as u32]));
        self.fit()?;
        Ok(first)
    }

    /// The index, in nodes, that the next node will get.
    pub(super) fn next_node(&mut self) -> Result<u32, CompileError> {
        self.align(NODE_WORDS);
        Ok(self.position()? / NODE_WORDS_U32)
    }

    /// Appends nodes whose leaves are counted from the first leaf, which must follow at once.
    pub(super) fn nodes(&mut self, nodes: &[Node]) -> Result<(), CompileError> {
        self.align(NODE_WORDS);
        let length = u32::try_from(nodes.len())
            .ok()
            .and_then(|nodes| nodes.checked_mul(NODE_WORDS_U32));
        let position = u32::try_from(self.words.len()).ok();
        let first_leaf = length
            .and_then(|length| length.checked_add(position?))
            .filter(|index| u64::from(*index) * 4 <= self.limit)
            .ok_or_else(|| self.too_large())?;
        for node in nodes {
            self.words.extend(
                Node {
                    first_leaf: first_leaf.saturating_add(node.first_leaf),
                    ..*node
                }
                .pack(),
            );
        }
        Ok(())
    }

    /// All words, a multiple of what is read at once.
    pub(super) fn into_inner(mut self) -> Result<Vec<u32>, CompileError> {
        self.words.push(0);
        self.align(NODE_WORDS);
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

#[expect(clippy::cast_possible_truncation, reason = "the constant is 8")]
const NODE_WORDS_U32: u32 = NODE_WORDS as u32;

/// What the kernel can take, whatever the policy allows; alignment may add a node.
const MAX_WORDS: u32 = MAX_TABLE_WORDS - 2 * NODE_WORDS_U32;
