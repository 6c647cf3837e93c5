//! The arithmetic of a rate: GCRA, as governor computes it, over states that live elsewhere.
//!
//! table entry → **meter** → table entry. A bucket is one number, the time at which it is full again. The meter neither
//! stores buckets nor reads a clock.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota as Allowance, RateLimiter};
use ravelin_rules::policy::Quota;

/// Judges arrivals against `burst` and `rate`. Times are nanoseconds since a moment of the caller's.
#[derive(Debug)]
pub(super) struct Meter {
    limiter: RateLimiter<NotKeyed, Register, Register, NoOpMiddleware<Nanos>>,
    register: Register,
    period: u64,
}

/// A bucket that is full: what an unknown source has.
pub(super) const FULL: u64 = 0;

impl Meter {
    /// A meter that accepts at most `burst + rate × time`.
    ///
    /// The time between two connections is rounded up to whole nanoseconds and a burst of centuries is cut down, so that
    /// rounding never lets through more than was asked for.
    pub(super) fn new(quota: Quota) -> Self {
        let Quota { rate, burst } = quota;
        let period = rate.per.as_nanos().div_ceil(u128::from(rate.count.max(1))).max(1);
        let period = u64::try_from(period).unwrap_or(u64::MAX).min(LONGEST);
        let burst = u32::try_from(LONGEST / period).unwrap_or(u32::MAX).min(burst);
        // Zero periods do not exist here; a meter that lets one connection an hour through is the safe reading of one.
        let quota = Allowance::with_period(Duration::from_nanos(period))
            .unwrap_or_else(|| Allowance::per_hour(NonZeroU32::MIN))
            .allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
        let register = Register::default();
        Self {
            limiter: RateLimiter::new(quota, register.clone(), register.clone()),
            register,
            period,
        }
    }

    /// The moment from which one can be taken from the bucket that is full at `full_at`.
    pub(super) fn earliest(&mut self, full_at: u64) -> u64 {
        self.take(full_at, 0).err().unwrap_or(0)
    }

    /// How long it takes for one more.
    pub(super) const fn period(&self) -> u64 {
        self.period
    }

    /// Takes one from the bucket that is full at `full_at`: the new time it is full at, or the time to come back at.
    pub(super) fn take(&mut self, full_at: u64, now: u64) -> Result<u64, u64> {
        self.register.full_at.store(full_at, Ordering::Relaxed);
        self.register.now.store(now, Ordering::Relaxed);
        match self.limiter.check() {
            Ok(()) => Ok(self.register.full_at.load(Ordering::Relaxed)),
            Err(not_until) => Err(not_until.earliest_possible().as_u64()),
        }
    }
}

/// Where governor finds the bucket under judgement and the time: both are put here before it is asked.
#[derive(Clone, Debug, Default)]
struct Register(Arc<Fields>);

#[derive(Debug, Default)]
struct Fields {
    full_at: AtomicU64,
    now: AtomicU64,
}

impl std::ops::Deref for Register {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.0
    }
}

impl Clock for Register {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.now.load(Ordering::Relaxed))
    }
}

impl StateStore for Register {
    type Key = NotKeyed;

    /// No other thread can come between: a meter is used through `&mut`.
    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, full_at) = judge(Some(Nanos::new(self.full_at.load(Ordering::Relaxed))))?;
        self.full_at.store(full_at.as_u64(), Ordering::Relaxed);
        Ok(outcome)
    }
}

/// About 73 years: sums of a few of these and the uptime fit into 64 bits.
const LONGEST: u64 = 1 << 61;

#[cfg(test)]
mod tests {
    use ravelin_rules::policy::Rate;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn meter(count: u64, seconds: u64, burst: u32) -> Meter {
        let per = Duration::from_secs(seconds);
        Meter::new(Quota {
            rate: Rate { count, per },
            burst,
        })
    }

    #[test]
    fn a_full_bucket_gives_the_burst_and_then_one_per_period() {
        let mut meter = meter(10, 1, 3);
        let mut full_at = FULL;
        for _ in 0..3 {
            full_at = meter.take(full_at, SECOND).unwrap();
        }
        assert_eq!(meter.take(full_at, SECOND), Err(SECOND + SECOND / 10));
        assert_eq!(meter.earliest(full_at), SECOND + SECOND / 10);
        assert!(meter.take(full_at, SECOND + SECOND / 10).is_ok());
    }

    #[test]
    fn a_rate_that_does_not_divide_is_rounded_to_the_stricter_side() {
        let mut meter = meter(3, 1, 1);
        let full_at = meter.take(FULL, 0).unwrap();
        assert_eq!(meter.take(full_at, 333_333_333), Err(333_333_334));
    }

    #[test]
    fn extreme_rates_and_bursts_do_not_overflow() {
        for (count, seconds, burst) in [
            (1, 3600, u32::MAX),
            (u64::MAX, 1, u32::MAX),
            (1, u64::MAX, u32::MAX),
            (0, 0, 0),
        ] {
            let mut meter = meter(count, seconds, burst);
            let full_at = meter.take(FULL, 0).unwrap();
            assert!(full_at > 0);
            let _either_way = meter.take(full_at, 1 << 60);
        }
    }
}
