//! The growing table image: words, with what must be aligned aligned.

use ravelin_datapath::wire::{MAX_TABLE_WORDS, NODE_WORDS, Node};

use super::CompileError;

/// All table words of a generation.
#[derive(Debug, Default)]
pub(super) struct Words(Vec<u32>);

impl Words {
    /// Appends a table; returns the index of its first word.
    pub(super) fn table(&mut self, words: &[u32]) -> Result<u32, CompileError> {
        let first = self.position()?;
        self.0.extend_from_slice(words);
        Ok(first)
    }

    /// Appends 64-bit words, low half first, at an even index; returns the index of the first half.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a 64-bit word")]
    pub(super) fn doubles(&mut self, doubles: impl Iterator<Item = u64>) -> Result<u32, CompileError> {
        self.align(2);
        let first = self.position()?;
        self.0
            .extend(doubles.flat_map(|double| [double as u32, (double >> 32) as u32]));
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
        let first_leaf = length.and_then(|length| length.checked_add(self.0.len().try_into().ok()?));
        let first_leaf = first_leaf
            .filter(|index| *index <= MAX_WORDS)
            .ok_or_else(too_large)?;
        for node in nodes {
            self.0.extend(
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
    pub(super) fn into_inner(mut self) -> Vec<u32> {
        self.0.push(0);
        self.align(NODE_WORDS);
        self.0
    }

    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn position(&self) -> Result<u32, CompileError> {
        u32::try_from(self.0.len())
            .ok()
            .filter(|position| *position <= MAX_WORDS)
            .ok_or_else(too_large)
    }
}

fn too_large() -> CompileError {
    CompileError::TooLarge {
        mebibytes: MAX_MEBIBYTES,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the constant is 8")]
const NODE_WORDS_U32: u32 = NODE_WORDS as u32;

/// The most table memory one generation may take: a mistake in a feed must not take the host's memory with it.
const MAX_MEBIBYTES: u32 = 512;
const MAX_WORDS: u32 = MAX_TABLE_WORDS - 2 * NODE_WORDS_U32;
