//! How much memory this process has.

use std::fs;

/// Bytes of this process that are in memory now.
///
/// # Panics
/// When `/proc` does not say.
#[must_use]
#[track_caller]
pub fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("statm");
    let resident: usize = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    // Pages of 4 KiB, as on every machine that Ravelin runs on.
    resident * 4096
}
