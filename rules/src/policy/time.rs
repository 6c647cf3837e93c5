//! Moments, and the two clocks that tell them.

use std::fmt;
use std::num::NonZeroU64;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment in whole seconds of UTC, after 1970 began: when a rule or a set entry ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    /// The moment so many seconds after 1970-01-01T00:00:00Z; `None` for that very second.
    #[must_use]
    pub const fn from_unix(seconds: u64) -> Option<Self> {
        match NonZeroU64::new(seconds) {
            Some(seconds) => Some(Self(seconds)),
            None => None,
        }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Timestamp {
    /// As policies write it: `2026-12-31T00:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = i64::try_from(self.unix())
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|moment| moment.format(&Rfc3339).ok());
        match moment {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} seconds after 1970", self.unix()),
        }
    }
}

/// One moment read from two clocks: what ties the time in policies to the time that packets are judged at.
///
/// Packets are judged by nanoseconds since boot, a clock that never jumps and that the kernel program can read. When the
/// wall clock is set, the tie is another one, and the tables are built anew. By default both clocks read zero: a moment
/// since boot is then the same number since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Nanoseconds since 1970, UTC.
    pub unix: u64,
    /// Nanoseconds since boot, suspended time counted (`CLOCK_BOOTTIME`).
    pub boot: u64,
}

impl Clock {
    /// Nanoseconds since boot at the moment `at`; 0 when that was before the boot.
    #[must_use]
    pub fn since_boot(&self, at: Timestamp) -> u64 {
        let unix = u128::from(at.unix()) * 1_000_000_000;
        let boot = (unix + u128::from(self.boot)).saturating_sub(u128::from(self.unix));
        u64::try_from(boot).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_printed_as_policies_write_it() {
        let moment = Timestamp::from_unix(1_798_675_200).unwrap();
        assert_eq!(moment.to_string(), "2026-12-31T00:00:00Z");
        assert_eq!(
            Timestamp::from_unix(u64::MAX).unwrap().to_string(),
            "18446744073709551615 seconds after 1970"
        );
    }

    #[test]
    fn the_clock_ties_moments_to_the_time_since_boot() {
        let clock = Clock {
            unix: 1_000_000_000_000,
            boot: 5_000_000_000,
        };
        let at = |seconds| clock.since_boot(Timestamp::from_unix(seconds).unwrap());
        assert_eq!(
            (at(1_000), at(1_001), at(995), at(1)),
            (5_000_000_000, 6_000_000_000, 0, 0)
        );
        assert_eq!(at(u64::MAX), u64::MAX);
    }
}
