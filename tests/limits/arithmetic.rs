//! The limiter against a model that counts tokens, with a clock of our own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ravelin_daemon::metrics::EdgeMetrics;
use ravelin_daemon::metrics::labels::Refusal;
use ravelin_daemon::transport::limit::{Limiter, SourceSlot, Terms, Turn};
use ravelin_rules::policy::{DelayQueue, OverLimit, Rate};
use ravelin_tests::random::Random;

/// A bucket in units of 1/period: a whole connection is `period` units, one unit drips in each nanosecond.
struct Bucket {
    level: u128,
    at: u128,
}

/// What the limiter must do, said in another way: buckets that fill up, not times at which they are full.
struct Model {
    period: u128,
    burst: u128,
    buckets: HashMap<IpAddr, Bucket>,
}

impl Model {
    fn accepts(&mut self, source: IpAddr, now: u128) -> bool {
        let full = self.burst * self.period;
        let bucket = self
            .buckets
            .entry(source)
            .or_insert(Bucket { level: full, at: now });
        bucket.level = (bucket.level + (now - bucket.at)).min(full);
        bucket.at = now;
        let accepted = bucket.level >= self.period;
        if accepted {
            bucket.level -= self.period;
        }
        accepted
    }
}

fn limiter(rate: Rate, burst: u32, max_sources: u32, epoch: Instant) -> Arc<Limiter> {
    let shared = EdgeMetrics::new()
        .expect("metrics")
        .listener("test")
        .limiter_shared;
    Limiter::new(Some((rate, burst)), max_sources, shared, epoch)
}

fn address(number: u64) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(
        0xc633_6400 + u32::try_from(number).expect("small"),
    ))
}

const REFUSE: Terms = Terms {
    per_source: None,
    over: OverLimit::Refuse,
};

#[test]
fn a_hundred_thousand_random_arrivals_are_judged_as_the_model_judges_them() {
    for (count, seconds, burst) in [(50, 1, 100), (3, 1, 1), (7, 60, 5), (1_000_000, 1, 1000)] {
        let epoch = Instant::now();
        let rate = Rate {
            count,
            per: Duration::from_secs(seconds),
        };
        let limiter = limiter(rate, burst, 1_000, epoch);
        let period = u128::from(seconds * 1_000_000_000).div_ceil(u128::from(count));
        // Twenty sources that want about one and a half times the rate each.
        let step = u64::try_from(period / 40).expect("small");
        let mut model = Model {
            period,
            burst: u128::from(burst),
            buckets: HashMap::new(),
        };
        let mut numbers = Random::new(count);
        let (mut now, mut accepted) = (0_u64, 0);
        for arrival in 0..100_000 {
            // Bursts at one moment, steps to the nanosecond, and now and then a long pause.
            now += match numbers.below(10) {
                0..4 => 0,
                4..9 => numbers.below(step),
                _ => numbers.below(step * 20),
            };
            let source = address(numbers.below(20));
            let judged = limiter
                .judge(source, REFUSE, epoch + Duration::from_nanos(now))
                .is_ok();
            assert_eq!(
                judged,
                model.accepts(source, u128::from(now)),
                "arrival {arrival} at {now} from {source}"
            );
            accepted += usize::from(judged);
        }
        assert!(
            (1_000..99_000).contains(&accepted),
            "{accepted} accepted: the rate does not bite, or bites all"
        );
    }
}

#[test]
fn delayed_arrivals_take_exactly_the_turns_the_rate_allows() {
    let epoch = Instant::now();
    let (period, burst) = (20_000_000_u64, 10_u64);
    let limiter = limiter(
        Rate {
            count: 50,
            per: Duration::from_secs(1),
        },
        10,
        1_000,
        epoch,
    );
    let queue = DelayQueue {
        max: Duration::from_millis(500),
        queue: 1_000,
    };
    let terms = Terms {
        per_source: None,
        over: OverLimit::Delay(queue),
    };
    let mut numbers = Random::new(7);
    let mut waiting: Vec<(u64, SourceSlot)> = Vec::new();
    let mut turns: Vec<u64> = Vec::new();
    let (mut now, mut refused) = (0_u64, 0);
    for _ in 0..100_000 {
        now += numbers.below(35_000_000);
        for (_, mut slot) in waiting.extract_if(.., |(turn, _)| *turn <= now) {
            slot.take_turn();
        }
        match limiter.judge(address(1), terms, epoch + Duration::from_nanos(now)) {
            Ok(Turn::Now(_)) => turns.push(now),
            Ok(Turn::At(turn, slot)) => {
                let turn = u64::try_from(turn.duration_since(epoch).as_nanos()).expect("small");
                assert!(turn > now && turn - now <= 500_000_000);
                turns.push(turn);
                waiting.push((turn, slot));
            }
            Err(refusal) => {
                assert_eq!(refusal.check, Refusal::DelayTooLong);
                refused += 1;
            }
        }
        assert_eq!(limiter.waiting() as usize, waiting.len());
    }
    assert!(refused > 100, "only {refused} were refused");
    // First come, first served; and in every stretch of time no more than burst + rate × time.
    assert!(turns.is_sorted());
    for window in [11_usize, 12, 60, 1_000] {
        for stretch in turns.windows(window) {
            let allowed = burst + (stretch[window - 1] - stretch[0]) / period;
            assert!(
                window as u64 <= allowed,
                "{window} turns where {allowed} are allowed"
            );
        }
    }
    // And none of the rate is wasted while somebody waits.
    let span = turns.last().expect("turns") - turns[0];
    assert!(
        turns.len() as u64 >= span / period * 80 / 100,
        "{} turns in {span} ns",
        turns.len()
    );
}

#[test]
fn fifty_threads_get_no_more_than_burst_and_rate_together() {
    let epoch = Instant::now();
    let limiter = limiter(
        Rate {
            count: 200,
            per: Duration::from_secs(1),
        },
        20,
        1_000,
        epoch,
    );
    let accepted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(|| {
                    let mut accepted = 0;
                    while epoch.elapsed() < Duration::from_millis(500) {
                        accepted += usize::from(limiter.judge(address(1), REFUSE, Instant::now()).is_ok());
                    }
                    accepted
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum()
    });
    let allowed = 20.0 + 200.0 * epoch.elapsed().as_secs_f64();
    assert!(
        accepted as f64 <= allowed,
        "{accepted} accepted, {allowed} allowed"
    );
    assert!(accepted >= 20 + 90, "{accepted} accepted");
}

#[test]
fn entries_are_used_again_when_their_buckets_are_full_and_not_before() {
    let rate = Rate {
        count: 10,
        per: Duration::from_secs(1),
    };
    let shared = EdgeMetrics::new()
        .expect("metrics")
        .listener("test")
        .limiter_shared;
    let epoch = Instant::now();
    let limiter = Limiter::new(Some((rate, 1)), 64, shared.clone(), epoch);
    let at = |milliseconds| epoch + Duration::from_millis(milliseconds);
    for number in 0..64 {
        assert!(matches!(
            limiter.judge(address(number), REFUSE, at(0)),
            Ok(Turn::Now(_))
        ));
    }
    assert_eq!(shared.get(), 0);
    assert!(
        limiter.judge(address(64), REFUSE, at(99)).is_ok(),
        "the shared bucket is full"
    );
    assert_eq!(
        limiter
            .judge(address(65), REFUSE, at(99))
            .expect_err("and now empty")
            .check,
        Refusal::Rate
    );
    assert_eq!(shared.get(), 2);
    for number in 100..164 {
        // Each comes 100 ms and more after the entry it takes was used.
        assert!(limiter.judge(address(number), REFUSE, at(200)).is_ok());
    }
    assert_eq!(shared.get(), 2);
    assert_eq!(limiter.sources(), 64);
}
