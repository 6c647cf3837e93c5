//! What a table read costs a packet, by the size of the table: the measure by which shapes of tables are chosen.

/// Cycles until a read of a table of that many bytes is there and the next one can start, about: the three cache levels of
/// current servers, shared with everything else that the host does.
pub(super) const fn cycles(bytes: u64) -> u64 {
    match bytes >> 10 {
        0..8 => 8,
        8..64 => 10,
        64..512 => 16,
        512..4096 => 32,
        4096..16384 => 60,
        _ => 90,
    }
}

/// Cycles that a branch costs when it was guessed wrong.
pub(super) const BRANCH: u64 = 15;

/// Cycles until the keys of a range trie are compared.
pub(super) const COMPARE: u64 = 10;
