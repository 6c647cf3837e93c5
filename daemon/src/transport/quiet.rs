//! Keeps the log readable, and the disk unfilled, while hostile connections come in by the thousand.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Lets a few lines through per interval and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<Interval>);

#[derive(Debug, Default)]
struct Interval {
    began: Option<Instant>,
    written: u32,
    suppressed: u64,
}

impl Quiet {
    /// Whether a line may be written now; if so, how many were not since the last one.
    pub(super) fn may_write(&self, now: Instant) -> Option<u64> {
        // Held for a few instructions; a thread that died in between leaves counts, not a broken state.
        let mut interval = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if interval
            .began
            .is_none_or(|began| now.saturating_duration_since(began) >= INTERVAL)
        {
            interval.began = Some(now);
            interval.written = 0;
        }
        if interval.written < LINES {
            interval.written += 1;
            return Some(std::mem::take(&mut interval.suppressed));
        }
        interval.suppressed += 1;
        None
    }
}

const INTERVAL: Duration = Duration::from_secs(10);

/// Enough to see what goes on, for every listener.
const LINES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_bound_are_counted_and_told_of_later() {
        let quiet = Quiet::default();
        let now = Instant::now();
        assert_eq!((0..30).filter(|_| quiet.may_write(now).is_some()).count(), 10);
        assert_eq!(quiet.may_write(now + INTERVAL), Some(20));
        assert_eq!(quiet.may_write(now + INTERVAL), Some(0));
    }
}
