//! Awaiting a condition that nobody announces: a port that opens, a file that appears, a counter that moves.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Asks `condition` every few milliseconds until it gives something, and panics after `timeout` with `what` was awaited.
#[track_caller]
pub fn until<T>(what: &str, timeout: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < timeout, "waited {timeout:?} for {what}");
        sleep(Duration::from_millis(5));
    }
}
