//! Bytes per time: a token bucket for each connection and for each source, in nanoseconds like those of connections.
//!
//! listener → **bandwidth** → pace. A bucket is a lock with a first come, first served queue: who holds it reads at most [`QUANTUM`] bytes
//! and takes exactly those. So no bytes pass that the bucket did not have, all connections of a source take turns, only the first
//! of them has a timer, and whoever leaves leaves nothing behind.

use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use ravelin_rules::policy::{BandwidthLimit, Rate};
use tokio::sync::OwnedMutexGuard;
use tokio::time::sleep_until;

use super::accounts::lock;
use super::meter::FULL;
use super::source::Source;
use super::table::{Forgettable, Table};

/// The bandwidth of one listener.
#[derive(Debug)]
pub struct Bandwidth {
    limit: BandwidthLimit,
    max_sources: u32,
    per_connection: Option<ByteRate>,
    per_source: Option<PerSource>,
    epoch: Instant,
}

/// A bucket of bytes. Clones are the same bucket.
#[derive(Clone, Debug)]
pub struct ByteBucket {
    rate: ByteRate,
    /// When it is full again.
    full_at: Arc<tokio::sync::Mutex<u64>>,
    epoch: Instant,
}

/// The right to read once. Nobody else reads on this bucket meanwhile.
#[derive(Debug)]
pub struct ByteTurn {
    rate: ByteRate,
    full_at: OwnedMutexGuard<u64>,
    epoch: Instant,
}

/// The arithmetic of a rate of bytes: GCRA, with what is taken counted after it was read.
#[derive(Clone, Copy, Debug)]
pub struct ByteRate {
    count: u128,
    per: u128,
    /// How long it takes to fill the bucket, in nanoseconds.
    fill: u64,
}

#[derive(Debug)]
struct PerSource {
    rate: ByteRate,
    table: Mutex<Table<Arc<tokio::sync::Mutex<u64>>>>,
    /// Of the sources the table has no room for.
    shared: Arc<tokio::sync::Mutex<u64>>,
}

/// The most bytes of one read. Several times this fits into every bucket, and it is worth the price of a turn.
pub const QUANTUM: usize = 16 * 1024;

impl Bandwidth {
    /// The most memory one source takes.
    pub const BYTES_PER_SOURCE: usize =
        Table::<Arc<tokio::sync::Mutex<u64>>>::BYTES_PER_SOURCE + BUCKET_BYTES;

    /// The buckets of a listener; `None` when nothing is limited. No time before `epoch` is known.
    #[must_use]
    pub fn new(limit: BandwidthLimit, max_sources: u32, epoch: Instant) -> Option<Arc<Self>> {
        if limit == BandwidthLimit::default() {
            return None;
        }
        Some(Arc::new(Self {
            limit,
            max_sources,
            per_connection: limit.per_connection.map(ByteRate::new),
            per_source: limit.per_source.map(|rate| PerSource {
                rate: ByteRate::new(rate),
                table: Mutex::new(Table::new(max_sources as usize, RandomState::new())),
                shared: full(),
            }),
            epoch,
        }))
    }

    /// Whether it is what these would make: then the state stays.
    #[must_use]
    pub fn is(&self, limit: BandwidthLimit, max_sources: u32) -> bool {
        (self.limit, self.max_sources) == (limit, max_sources)
    }

    /// The buckets that a new connection of `client` takes from, in the order of taking: its own, its source's.
    #[must_use]
    pub fn buckets(&self, client: IpAddr) -> [Option<ByteBucket>; 2] {
        let bucket = |rate, full_at| ByteBucket {
            rate,
            full_at,
            epoch: self.epoch,
        };
        let now = nanos(self.epoch);
        [
            self.per_connection.map(|rate| bucket(rate, full())),
            self.per_source
                .as_ref()
                .map(|sources| bucket(sources.rate, sources.find(Source::of(client), now))),
        ]
    }

    /// The most memory its table can take, in bytes.
    #[must_use]
    pub fn memory_bound(&self) -> usize {
        let sources = self.per_source.as_ref().map_or(0, |_| self.max_sources as usize);
        sources * Self::BYTES_PER_SOURCE
    }
}

impl PerSource {
    /// A connection keeps the bucket it began with; that of a source stays while it is used, and until it is full.
    fn find(&self, source: Source, now: u64) -> Arc<tokio::sync::Mutex<u64>> {
        let mut table = lock(&self.table);
        let known = table.find(source);
        match known.or_else(|| table.insert(source, full(), now)) {
            Some(index) => Arc::clone(table.value(index)),
            None => Arc::clone(&self.shared),
        }
    }
}

impl Forgettable for Arc<tokio::sync::Mutex<u64>> {
    fn is_idle(&self, now: u64) -> bool {
        // New clones are made under the lock of the table, which is held.
        Self::strong_count(self) == 1 && self.try_lock().is_ok_and(|full_at| *full_at <= now)
    }
}

impl ByteBucket {
    /// The turn, if nobody has it or waits for it and the bucket has a [`QUANTUM`].
    #[must_use]
    pub fn try_turn(&self) -> Option<ByteTurn> {
        let full_at = Arc::clone(&self.full_at).try_lock_owned().ok()?;
        (self.rate.ready_at(*full_at) <= nanos(self.epoch)).then(|| self.turn_with(full_at))
    }

    /// The turn, when those before it have had theirs and the bucket has a [`QUANTUM`] again. `pauses` counts waits for the bucket.
    pub async fn turn(&self, pauses: &IntCounter) -> ByteTurn {
        let full_at = Arc::clone(&self.full_at).lock_owned().await;
        let ready_at = self.rate.ready_at(*full_at);
        if ready_at > nanos(self.epoch) {
            pauses.inc();
            sleep_until((self.epoch + Duration::from_nanos(ready_at)).into()).await;
        }
        self.turn_with(full_at)
    }

    /// Takes bytes that have passed all the same, as many as there are. Says whether they would have had to wait.
    #[must_use]
    pub fn observe(&self, bytes: usize) -> bool {
        let Ok(mut full_at) = self.full_at.try_lock() else {
            return false;
        };
        let now = nanos(self.epoch);
        let waits = self.rate.ready_at(*full_at) > now;
        *full_at = self
            .rate
            .spend(*full_at, now, bytes)
            .min(now.saturating_add(self.rate.fill));
        waits
    }

    const fn turn_with(&self, full_at: OwnedMutexGuard<u64>) -> ByteTurn {
        ByteTurn {
            rate: self.rate,
            full_at,
            epoch: self.epoch,
        }
    }
}

impl ByteTurn {
    /// `bytes` were read, at most a [`QUANTUM`].
    pub fn spend(mut self, bytes: usize) {
        *self.full_at = self.rate.spend(*self.full_at, nanos(self.epoch), bytes);
    }
}

impl ByteRate {
    /// The least that a bucket holds: several reads, or each would have to wait.
    pub const LEAST_BURST: u64 = 64 * 1024;

    /// A rate with a burst of a tenth of a second.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let (count, per) = (u128::from(rate.count.max(1)), rate.per.as_nanos().max(1));
        let burst = (count * BURST.as_nanos() / per).max(Self::LEAST_BURST.into());
        // Rounded down, and what is taken is rounded up: never more than was asked for.
        let fill = u64::try_from(burst * per / count).unwrap_or(u64::MAX);
        Self { count, per, fill }
    }

    /// From when on a [`QUANTUM`] can be taken from the bucket that is full at `full_at`.
    #[must_use]
    pub fn ready_at(self, full_at: u64) -> u64 {
        full_at
            .saturating_add(self.cost(QUANTUM))
            .saturating_sub(self.fill)
    }

    /// When the bucket is full again after `bytes` were taken at `now`.
    #[must_use]
    pub fn spend(self, full_at: u64, now: u64, bytes: usize) -> u64 {
        full_at.max(now).saturating_add(self.cost(bytes))
    }

    fn cost(self, bytes: usize) -> u64 {
        u64::try_from((bytes as u128 * self.per).div_ceil(self.count)).unwrap_or(u64::MAX)
    }
}

fn full() -> Arc<tokio::sync::Mutex<u64>> {
    Arc::new(tokio::sync::Mutex::new(FULL))
}

fn nanos(epoch: Instant) -> u64 {
    // 584 years of uptime.
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// How long a connection may go at any speed when it has been slower before.
const BURST: Duration = Duration::from_millis(100);

/// A bucket of its own on the heap: lock, queue, counts, and what the allocator adds.
const BUCKET_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(count: u64) -> ByteRate {
        let per = Duration::from_secs(1);
        ByteRate::new(Rate { count, per })
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_the_rate() {
        let rate = rate(10_000_000);
        let (mut full_at, mut passed, mut now) = (FULL, 0_u64, 0);
        while now < 1_000_000_000 {
            while rate.ready_at(full_at) <= now {
                full_at = rate.spend(full_at, now, QUANTUM);
                passed += QUANTUM as u64;
            }
            assert!(passed <= 1_000_000 + now / 100, "{passed} bytes at {now}");
            now += 100_000;
        }
        assert!(passed >= 10_900_000, "{passed}");
    }

    #[test]
    fn slow_rates_have_a_burst_of_some_reads_and_extreme_ones_do_not_overflow() {
        assert_eq!(rate(1_000).fill, 65_536_000_000);
        for count in [1, 1_000, 1_000_000_000_000, u64::MAX] {
            let rate = rate(count);
            let full_at = rate.spend(u64::MAX - 1, 1 << 60, QUANTUM);
            assert!(rate.ready_at(full_at) > 0 && rate.fill > 0, "{count}");
        }
    }

    #[tokio::test]
    async fn a_source_without_room_shares_and_an_entry_in_use_is_kept() {
        let limit = BandwidthLimit {
            per_connection: None,
            per_source: Some(Rate {
                count: 1_000_000,
                per: Duration::from_secs(1),
            }),
        };
        let bandwidth = Bandwidth::new(limit, 1, Instant::now()).unwrap();
        let bucket = |address: [u8; 4]| bandwidth.buckets(address.into())[1].clone().unwrap();
        let first = bucket([192, 0, 2, 1]);
        let (second, third) = (bucket([192, 0, 2, 2]), bucket([192, 0, 2, 3]));
        assert!(Arc::ptr_eq(&second.full_at, &third.full_at));
        assert!(!Arc::ptr_eq(&first.full_at, &second.full_at));
        assert!(Arc::ptr_eq(&first.full_at, &bucket([192, 0, 2, 1]).full_at));
        drop(first);
        let fourth = bucket([192, 0, 2, 4]);
        assert!(!Arc::ptr_eq(&fourth.full_at, &second.full_at), "room again");
    }
}
