//! What a table read costs a packet, by the size of the table: the measure by which shapes of tables are chosen.

/// Cycles until a read at a random place of a table of that many bytes is there, about, and the next one can start.
///
/// Measured with pages of 4 KiB, which the tables have: beyond some megabytes the processor no longer knows where the pages are, and
/// asks the page tables, which are out of its caches too (in a virtual machine, those of the host as well).
pub(super) const fn cycles(bytes: u64) -> u64 {
    let kib = bytes >> 10;
    // Between two doublings as far as the size is.
    let doubling = if kib == 0 { 0 } else { kib.ilog2() as usize };
    if doubling + 1 >= BY_DOUBLING.len() {
        return BY_DOUBLING[BY_DOUBLING.len() - 1];
    }
    let (low, high) = (BY_DOUBLING[doubling], BY_DOUBLING[doubling + 1]);
    let beyond = kib.saturating_sub(1 << doubling);
    low + (high - low) * beyond / (1 << doubling)
}

/// Cycles at 1 KiB, 2 KiB, … 128 MiB.
const BY_DOUBLING: [u64; 18] = [
    5, 5, 5, 5, 6, 8, 11, 13, 14, 18, 30, 46, 56, 110, 280, 480, 600, 650,
];

/// Cycles that a branch costs when it was guessed wrong.
pub(super) const BRANCH: u64 = 15;

/// Cycles until the keys of a range trie's cell are compared, and the class is read.
pub(super) const COMPARE: u64 = 20;
