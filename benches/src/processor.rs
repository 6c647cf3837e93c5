//! Processor time and memory of processes, as the kernel tells it.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a bench stops when it cannot measure"
)]

use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Time on a processor of all threads of `processes`, by the scheduler's own account, which is in nanoseconds.
#[must_use]
pub fn spent(processes: &[u32]) -> Duration {
    let threads = processes.iter().flat_map(|process| {
        let folder = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
        folder.flatten().map(|thread| thread.path().join("schedstat"))
    });
    let nanos = threads.map(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|nanos| nanos.parse::<u64>().ok())
            .unwrap_or(0)
    });
    Duration::from_nanos(nanos.sum())
}

/// Memory of `processes` that is theirs alone or shared, in KiB.
#[must_use]
pub fn resident(processes: &[u32]) -> f64 {
    let kib = processes.iter().map(|process| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a size");
        line.trim()
            .trim_end_matches(" kB")
            .parse::<f64>()
            .expect("a number")
    });
    kib.sum()
}

/// The children of a process.
#[must_use]
pub fn children(process: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Keeps this thread on one processor.
pub fn pin_self(processor: usize) {
    pin(0, processor);
}

/// Keeps a thread, or the first one of a process, on one processor.
pub fn pin(process: u32, processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor).expect("a processor");
    sched_setaffinity(Pid::from_raw(process.cast_signed()), &set).expect("a processor");
}
