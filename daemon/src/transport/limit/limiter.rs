//! The limits of each source: connections at once, and new connections per time.
//!
//! gate → **limiter** → slot. Memory is bounded: `max_sources` entries of [`Limiter::BYTES_PER_SOURCE`] bytes. While the
//! table is full, newcomers share one bucket and one connection count for the whole listener: the rate and the cap of a
//! single source, for all of them together. The door is never opened; sources that have an entry do not notice.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use ravelin_rules::policy::{OverLimit, Rate};

use super::meter::{FULL, Meter};
use super::refused::Refused;
use super::source::Source;
use super::table::Table;
use crate::metrics::labels::Refusal;

/// The state of all sources of one listener. Shared by its accept loops.
#[derive(Debug)]
pub struct Limiter {
    shards: Box<[Mutex<Shard>]>,
    /// Whom the table has no room for. Locked after a shard, never before.
    shared: Mutex<Account>,
    judged_by_shared: IntCounter,
    waiting: AtomicU32,
    hasher: RandomState,
    epoch: Instant,
}

/// What a source may do now; changes with the policy while the state stays.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Connections at once.
    pub per_source: Option<u32>,
    /// What happens over the rate.
    pub over: OverLimit,
}

/// When a connection may go on.
#[derive(Debug)]
pub enum Turn {
    /// At once.
    Now(SourceSlot),
    /// Not before this moment: its place in the rate is reserved.
    At(Instant, SourceSlot),
}

/// A connection in its source's account; closed when dropped.
#[derive(Debug)]
pub struct SourceSlot {
    limiter: Arc<Limiter>,
    source: Source,
    shared: bool,
    reserved: Option<Reservation>,
}

/// What a waiting connection changed in the bucket.
#[derive(Clone, Copy, Debug)]
struct Reservation {
    before: u64,
    after: u64,
}

#[derive(Debug)]
struct Shard {
    table: Table,
    meter: Option<Meter>,
    /// When the shared bucket is full again, as it was when it last judged a source of this shard.
    shared_until: u64,
}

/// The bucket and the connection count of the sources without an entry.
#[derive(Debug)]
struct Account {
    full_at: u64,
    open: u32,
}

impl Limiter {
    /// The most memory one source takes.
    pub const BYTES_PER_SOURCE: usize = Table::BYTES_PER_SOURCE;

    /// The memory that does not depend on the number of sources.
    pub const FIXED_BYTES: usize = 64 * 1024;

    /// A limiter for at most `max_sources` sources. Without a rate and burst only connections at once are counted;
    /// `judged_by_shared` counts the connections of sources without an entry; no time before `epoch` is known.
    #[must_use]
    pub fn new(
        rate: Option<(Rate, u32)>,
        max_sources: u32,
        judged_by_shared: IntCounter,
        epoch: Instant,
    ) -> Arc<Self> {
        let sources = max_sources.max(1) as usize;
        let count = (sources / SOURCES_PER_SHARD).clamp(1, MAX_SHARDS);
        let hasher = RandomState::new();
        let shard = |index: usize| {
            // The remainder goes to the first shards, so that the capacities add up to `max_sources`.
            let capacity = sources / count + usize::from(index < sources % count);
            let meter = rate.map(|(rate, burst)| Meter::new(rate, burst));
            Mutex::new(Shard {
                table: Table::new(capacity, hasher.clone()),
                meter,
                shared_until: FULL,
            })
        };
        Arc::new(Self {
            shards: (0..count).map(shard).collect(),
            shared: Mutex::new(Account {
                full_at: FULL,
                open: 0,
            }),
            judged_by_shared,
            waiting: AtomicU32::new(0),
            hasher,
            epoch,
        })
    }

    /// Judges a new connection from `address`: its source's connections first, then its rate.
    ///
    /// # Errors
    ///
    /// The limit it is over. A refused connection takes nothing from the bucket.
    pub fn judge(self: &Arc<Self>, address: IpAddr, terms: Terms, now: Instant) -> Result<Turn, Refused> {
        let source = Source::of(address);
        let nanos = self.nanos(now);
        let mut shard = self.shard(source);
        let Shard {
            table,
            meter,
            shared_until,
        } = &mut *shard;
        // Until the shared bucket is full again, what a source of this shard owes may be what others took from it.
        let debt = *shared_until > nanos;
        let refused = |check| Refused::by_account(check, false, debt);
        if let Some(entry) = table.find(source) {
            let judged = self
                .charge(&mut entry.full_at, &mut entry.open, meter.as_mut(), terms, nanos)
                .map_err(refused)?;
            return Ok(self.turn(source, false, judged));
        }
        // A source that was judged by the shared bucket until now takes its state along, or the change of bucket would
        // be a second burst.
        let inherited = if debt { *shared_until } else { FULL };
        if let Some(entry) = table.insert(source, inherited, nanos) {
            let judged = self
                .charge(&mut entry.full_at, &mut entry.open, meter.as_mut(), terms, nanos)
                .map_err(refused)?;
            return Ok(self.turn(source, false, judged));
        }
        self.judged_by_shared.inc();
        let mut shared = lock(&self.shared);
        let Account { full_at, open } = &mut *shared;
        let judged = self.charge(full_at, open, meter.as_mut(), terms, nanos);
        *shared_until = *full_at;
        let judged = judged.map_err(|check| Refused::by_account(check, true, debt))?;
        Ok(self.turn(source, true, judged))
    }

    /// How many sources have an entry.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).table.len()).sum()
    }

    /// How many sources can have an entry.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).table.capacity()).sum()
    }

    /// The most memory it can take, in bytes.
    #[must_use]
    pub fn memory_bound(&self) -> usize {
        self.capacity() * Self::BYTES_PER_SOURCE + Self::FIXED_BYTES
    }

    /// What its tables have set aside, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).table.memory()).sum()
    }

    /// How many connections wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    fn charge(
        &self,
        full_at: &mut u64,
        open: &mut u32,
        meter: Option<&mut Meter>,
        terms: Terms,
        now: u64,
    ) -> Result<Option<(u64, Reservation)>, Refusal> {
        if terms.per_source.is_some_and(|cap| *open >= cap) {
            return Err(Refusal::SourceConnections);
        }
        let mut wait = None;
        if let Some(meter) = meter {
            match meter.take(*full_at, now) {
                Ok(after) => *full_at = after,
                Err(turn) => {
                    let after = self.reserve(meter, *full_at, turn, terms.over, now)?;
                    wait = Some((
                        turn,
                        Reservation {
                            before: *full_at,
                            after,
                        },
                    ));
                    *full_at = after;
                }
            }
        }
        *open = open.saturating_add(1);
        Ok(wait)
    }

    /// The bucket after a connection that waits until `turn`: what it will be when that moment comes.
    fn reserve(
        &self,
        meter: &mut Meter,
        full_at: u64,
        turn: u64,
        over: OverLimit,
        now: u64,
    ) -> Result<u64, Refusal> {
        let OverLimit::Delay(queue) = over else {
            return Err(Refusal::Rate);
        };
        if Duration::from_nanos(turn - now) > queue.max {
            return Err(Refusal::DelayTooLong);
        }
        let after = meter
            .take(full_at, turn)
            .map_err(|_later| Refusal::DelayTooLong)?;
        let one_more = |waiting: u32| (waiting < queue.queue).then(|| waiting + 1);
        match self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
        {
            Ok(_) => Ok(after),
            Err(_) => Err(Refusal::QueueFull),
        }
    }

    fn turn(self: &Arc<Self>, source: Source, shared: bool, judged: Option<(u64, Reservation)>) -> Turn {
        let reserved = judged.map(|(_, reservation)| reservation);
        let slot = SourceSlot {
            limiter: Arc::clone(self),
            source,
            shared,
            reserved,
        };
        match judged {
            None => Turn::Now(slot),
            Some((turn, _)) => Turn::At(self.epoch + Duration::from_nanos(turn), slot),
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        // 584 years of uptime.
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    fn shard(&self, source: Source) -> MutexGuard<'_, Shard> {
        // The high bits: the low ones choose the chain in the table.
        let high = self.hasher.hash_one(source) >> 32;
        let index = (high % self.shards.len() as u64) as usize;
        lock(&self.shards[index])
    }
}

impl SourceSlot {
    /// The turn has come: the connection waits no longer and its place in the rate is used.
    pub fn take_turn(&mut self) {
        if self.reserved.take().is_some() {
            self.limiter.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for SourceSlot {
    /// Closes the connection in the account. One that still waited also gives its turn back if it was the last in line: then the
    /// bucket is as if it had never come. A turn in the middle of the line is lost to its source, not to others.
    fn drop(&mut self) {
        let close = |full_at: &mut u64, open: &mut u32, reserved: Option<Reservation>| {
            *open = open.saturating_sub(1);
            if let Some(Reservation { before, after }) = reserved
                && *full_at == after
            {
                *full_at = before;
            }
        };
        let reserved = self.reserved;
        if self.shared {
            let mut shared = lock(&self.limiter.shared);
            let Account { full_at, open } = &mut *shared;
            close(full_at, open, reserved);
        } else if let Some(entry) = self.limiter.shard(self.source).table.find(self.source) {
            close(&mut entry.full_at, &mut entry.open, reserved);
        }
        self.take_turn();
    }
}

/// A panic while one was held cannot leave an account half-written: every step is a single store.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Small tables are one shard: the fuller use of `max_sources` matters more there than contention.
const SOURCES_PER_SHARD: usize = 1024;

const MAX_SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ravelin_rules::policy::DelayQueue;

    use super::*;
    use crate::metrics::labels::Offence;

    fn limiter(count: u64, burst: u32, max_sources: u32) -> (Arc<Limiter>, Instant) {
        let epoch = Instant::now();
        let rate = Rate {
            count,
            per: Duration::from_secs(1),
        };
        let shared = IntCounter::new("shared_total", "Judged by the shared bucket.").unwrap();
        (
            Limiter::new(Some((rate, burst)), max_sources, shared, epoch),
            epoch,
        )
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    const REFUSE: Terms = Terms {
        per_source: None,
        over: OverLimit::Refuse,
    };

    #[test]
    fn a_source_over_its_rate_is_refused_and_another_is_not() {
        let (limiter, now) = limiter(1, 2, 100);
        for _ in 0..2 {
            assert!(matches!(limiter.judge(address(1), REFUSE, now), Ok(Turn::Now(_))));
        }
        assert_eq!(
            limiter.judge(address(1), REFUSE, now).unwrap_err().check,
            Refusal::Rate
        );
        assert!(matches!(limiter.judge(address(2), REFUSE, now), Ok(Turn::Now(_))));
        assert!(matches!(
            limiter.judge(address(1), REFUSE, now + Duration::from_secs(1)),
            Ok(Turn::Now(_))
        ));
    }

    #[test]
    fn open_connections_are_capped_per_source_and_a_closed_one_makes_room() {
        let (limiter, now) = limiter(1000, 1000, 100);
        let terms = Terms {
            per_source: Some(1),
            ..REFUSE
        };
        let first = limiter.judge(address(1), terms, now).unwrap();
        assert_eq!(
            limiter.judge(address(1), terms, now).unwrap_err().check,
            Refusal::SourceConnections
        );
        assert!(limiter.judge(address(2), terms, now).is_ok());
        drop(first);
        assert!(limiter.judge(address(1), terms, now).is_ok());
    }

    #[test]
    fn delayed_connections_get_one_turn_each_and_the_queue_is_bounded() {
        let (limiter, now) = limiter(10, 1, 100);
        let queue = DelayQueue {
            max: Duration::from_secs(1),
            queue: 5,
        };
        let terms = Terms {
            per_source: None,
            over: OverLimit::Delay(queue),
        };
        let _first = limiter.judge(address(1), terms, now).unwrap();
        let mut slots = Vec::new();
        for turn in 1..=5 {
            let Turn::At(at, slot) = limiter.judge(address(1), terms, now).unwrap() else {
                panic!("no wait")
            };
            assert_eq!(at, now + Duration::from_millis(100 * turn));
            slots.push(slot);
        }
        assert_eq!(limiter.waiting(), 5);
        assert_eq!(
            limiter.judge(address(1), terms, now).unwrap_err().check,
            Refusal::QueueFull
        );
        // Who leaves as the last in line gives the turn back.
        slots.pop();
        assert_eq!(limiter.waiting(), 4);
        assert!(
            matches!(limiter.judge(address(1), terms, now), Ok(Turn::At(at, _)) if at == now + Duration::from_millis(500))
        );
        // Who took its turn does not.
        let mut last = slots.pop().unwrap();
        last.take_turn();
        drop(last);
        let Ok(Turn::At(at, _)) = limiter.judge(address(1), terms, now) else {
            panic!("no wait")
        };
        assert_eq!(at, now + Duration::from_millis(500));
        let impatient = DelayQueue {
            max: Duration::from_millis(499),
            queue: 5,
        };
        let terms = Terms {
            per_source: None,
            over: OverLimit::Delay(impatient),
        };
        assert_eq!(
            limiter.judge(address(1), terms, now).unwrap_err().check,
            Refusal::DelayTooLong
        );
    }

    #[test]
    fn newcomers_to_a_full_table_share_one_bucket_and_one_count() {
        let (limiter, now) = limiter(1, 2, 4);
        let terms = Terms {
            per_source: Some(3),
            ..REFUSE
        };
        let held: Vec<_> = (0..4)
            .map(|number| limiter.judge(address(number), terms, now).unwrap())
            .collect();
        let _fifth = limiter.judge(address(5), terms, now).unwrap();
        let _sixth = limiter.judge(address(6), terms, now).unwrap();
        assert_eq!(
            limiter.judge(address(7), terms, now).unwrap_err().check,
            Refusal::Rate
        );
        assert_eq!(limiter.judged_by_shared.get(), 3);
        let _known = limiter
            .judge(address(0), terms, now)
            .expect("a source with an entry does not notice");
        // Room again: a newcomer gets an entry, but not a second burst.
        drop(held);
        let later = now + Duration::from_millis(1500);
        assert!(limiter.judge(address(5), terms, later).is_ok());
        assert_eq!(
            limiter.judge(address(5), terms, later).unwrap_err().check,
            Refusal::Rate
        );
        assert_eq!(limiter.judged_by_shared.get(), 3);
    }

    #[test]
    fn a_source_is_to_blame_for_its_own_bucket_and_not_for_what_others_took_from_a_shared_one() {
        let (limiter, now) = limiter(1, 2, 4);
        let later = |millis| now + Duration::from_millis(millis);
        let refused = |number, at| limiter.judge(address(number), REFUSE, at).unwrap_err();
        let spend = |numbers: std::ops::Range<u32>, at| {
            for number in numbers {
                drop(limiter.judge(address(number), REFUSE, at).unwrap());
            }
        };
        // Twice each is what a source may.
        spend(0..4, now);
        spend(0..4, now);
        assert_eq!(refused(0, now).offence, Some(Offence::Rate));
        // The table is full: two newcomers empty the shared bucket, and the third finds it so.
        spend(5..7, now);
        let third = refused(7, now);
        assert_eq!((third.check, third.offence), (Refusal::Rate, None));
        // Until that is paid, a source of the same table may owe what is not its own: one with an entry too.
        assert_eq!(refused(0, later(10)).offence, None);
        // There is room again at 2 s, and the debt is paid at the same moment.
        spend(7..8, later(2_000));
        spend(7..8, later(2_000));
        assert_eq!(refused(7, later(2_000)).offence, Some(Offence::Rate));
    }
}
