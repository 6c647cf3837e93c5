//! Ejection: a server that clients cannot be connected to is left out for a while.
//!
//! connect → **ejection** → order. After its time the server is tried again; its failures are forgotten at the first success and
//! not before, so that each time costs one client a failed attempt and not `failures` of them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use ravelin_rules::policy::Ejection;

/// What became of the attempts at one server.
#[derive(Debug)]
pub(super) struct Ejections {
    began: Instant,
    /// Attempts in a row that failed.
    failures: AtomicU32,
    /// Until when it is left out, in milliseconds since `began`.
    until: AtomicU64,
}

impl Default for Ejections {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            failures: AtomicU32::new(0),
            until: AtomicU64::new(0),
        }
    }
}

impl Ejections {
    /// Counts a failed attempt; whether the server is to be left out.
    pub(super) fn failed(&self, terms: Ejection, now: Instant) -> bool {
        // Wraps after four billion attempts in a row, and begins again.
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        failures >= terms.failures && !self.holds(now)
    }

    /// Forgets failures; also of a server that was tried because there was no other.
    pub(super) fn succeeded(&self) {
        // Stored only when there is something to forget: all connections share this cache line.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn begin(&self, terms: Ejection, now: Instant) {
        self.until
            .store(self.milliseconds(now + terms.lasts), Ordering::Relaxed);
    }

    /// Whether the server is left out now.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.milliseconds(now) < self.until.load(Ordering::Relaxed)
    }

    fn milliseconds(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.began).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TERMS: Ejection = Ejection {
        failures: 3,
        lasts: Duration::from_secs(10),
    };

    #[test]
    fn a_server_is_left_out_after_its_failures_in_a_row_and_comes_back_by_itself() {
        let (ejections, now) = (Ejections::default(), Instant::now());
        assert!(!ejections.failed(TERMS, now));
        assert!(!ejections.failed(TERMS, now));
        ejections.succeeded();
        assert!(!ejections.failed(TERMS, now));
        assert!(!ejections.failed(TERMS, now));
        assert!(ejections.failed(TERMS, now), "three in a row");
        ejections.begin(TERMS, now);
        assert!(ejections.holds(now));
        assert!(!ejections.failed(TERMS, now), "it is out already");
        assert!(ejections.holds(now + Duration::from_millis(9_990)));
        assert!(!ejections.holds(now + Duration::from_secs(11)));
    }

    #[test]
    fn one_more_failure_is_enough_until_there_is_a_success() {
        let (ejections, now) = (Ejections::default(), Instant::now());
        for _ in 0..3 {
            ejections.failed(TERMS, now);
        }
        ejections.begin(TERMS, now);
        let later = now + Duration::from_secs(11);
        assert!(ejections.failed(TERMS, later));
        ejections.begin(TERMS, later);
        ejections.succeeded();
        assert!(
            !ejections.holds(later),
            "it answers: it is not left out any longer"
        );
        assert!(!ejections.failed(TERMS, later));
    }
}
