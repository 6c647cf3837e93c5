//! How much memory a process has.

use std::fs;

/// Bytes of this process that are in memory now.
///
/// # Panics
/// When `/proc` does not say.
#[must_use]
#[track_caller]
pub fn resident_bytes() -> usize {
    resident("self")
}

/// Bytes of the process `pid` that are in memory now.
///
/// # Panics
/// When `/proc` does not say.
#[must_use]
#[track_caller]
pub fn resident_bytes_of(pid: i32) -> usize {
    resident(&pid.to_string())
}

#[track_caller]
fn resident(process: &str) -> usize {
    let pages = fs::read_to_string(format!("/proc/{process}/statm")).expect("statm");
    let resident: usize = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    // Pages of 4 KiB, as on every machine that Ravelin runs on.
    resident * 4096
}
