//! What each source, or each network, has open and has taken: an account for each, in tables with a bound.
//!
//! limiter → **accounts** → table. While the tables are full, newcomers share one account: the rates and caps of a single one, for all
//! of them together. The door is never opened; who has an account does not notice.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::IntCounter;
use ravelin_rules::policy::Quota;

use super::line::Line;
use super::meter::{FULL, Meter};
use super::source::Source;
use super::table::{Forgettable, Table};

/// The accounts of one kind of key.
#[derive(Debug)]
pub(super) struct Accounts {
    shards: Box<[Mutex<Shard>]>,
    /// Whom the tables have no room for. Locked after a shard, never before.
    shared: Mutex<Shared>,
    judged_by_shared: IntCounter,
    hasher: RandomState,
}

/// How fast an account's buckets fill; `None`: not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quotas {
    pub(super) connections: Option<Quota>,
    pub(super) handshakes: Option<Quota>,
}

/// When each bucket of an account is full again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets {
    pub(super) connections: u64,
    pub(super) handshakes: u64,
}

/// One source, or one network.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) buckets: Buckets,
    /// Connections it holds now.
    pub(super) open: u32,
}

#[derive(Debug)]
pub(super) struct Meters {
    pub(super) connections: Option<Meter>,
    pub(super) handshakes: Option<Meter>,
}

#[derive(Debug)]
struct Shard {
    table: Table<Account>,
    meters: Meters,
    /// Who waits, by source: no more than `delay.queue` altogether.
    lines: HashMap<Source, Line>,
    /// The shared buckets, as they were when they last judged a source of this shard.
    owed: Buckets,
}

#[derive(Debug)]
struct Shared {
    account: Account,
    line: Line,
}

/// An account that nobody else can change meanwhile.
#[derive(Debug)]
pub(super) struct Held<'a> {
    shard: MutexGuard<'a, Shard>,
    source: Source,
    place: Place<'a>,
    /// What it owes may be what others took from a shared bucket.
    pub(super) debt: bool,
}

#[derive(Debug)]
enum Place<'a> {
    Own(usize),
    Shared(MutexGuard<'a, Shared>),
}

impl Accounts {
    /// The most memory one account takes.
    pub(super) const BYTES_EACH: usize = Table::<Account>::BYTES_PER_SOURCE;

    /// At most `capacity` accounts; `judged_by_shared` counts the judgements of the shared one.
    pub(super) fn new(quotas: Quotas, capacity: u32, judged_by_shared: IntCounter) -> Self {
        let capacity = capacity.max(1) as usize;
        let count = (capacity / ACCOUNTS_PER_SHARD).clamp(1, MAX_SHARDS);
        let hasher = RandomState::new();
        let shard = |index: usize| {
            // The remainder goes to the first shards, so that the capacities add up.
            let own = capacity / count + usize::from(index < capacity % count);
            Mutex::new(Shard {
                table: Table::new(own, hasher.clone()),
                meters: Meters {
                    connections: quotas.connections.map(Meter::new),
                    handshakes: quotas.handshakes.map(Meter::new),
                },
                lines: HashMap::new(),
                owed: Buckets::ALL_FULL,
            })
        };
        Self {
            shards: (0..count).map(shard).collect(),
            shared: Mutex::new(Shared {
                account: Account::new(Buckets::ALL_FULL),
                line: Line::default(),
            }),
            judged_by_shared,
            hasher,
        }
    }

    /// The account of `source`: its own if it has one or there is room for one, else the shared one.
    pub(super) fn hold(&self, source: Source, now: u64) -> Held<'_> {
        let mut shard = self.shard(source);
        // Until the shared buckets are full again, what a source of this shard owes may be what others took from them.
        let debt = !shard.owed.is_full(now);
        // A source that was judged by the shared buckets until now takes their state along, or the change of buckets would be a
        // second burst.
        let inherited = Account::new(shard.owed);
        let known = shard.table.find(source);
        let index = known.or_else(|| shard.table.insert(source, inherited, now));
        let place = match index {
            Some(index) => Place::Own(index),
            None => {
                self.judged_by_shared.inc();
                let shared = lock(&self.shared);
                shard.owed = shared.account.buckets;
                Place::Shared(shared)
            }
        };
        Held {
            shard,
            source,
            place,
            debt,
        }
    }

    /// The account that a connection of `source` was opened in. `None` cannot be: an account with an open connection stays.
    pub(super) fn hold_again(&self, source: Source, shared: bool, now: u64) -> Option<Held<'_>> {
        let shard = self.shard(source);
        let debt = !shard.owed.is_full(now);
        let place = if shared {
            Place::Shared(lock(&self.shared))
        } else {
            Place::Own(shard.table.find(source)?)
        };
        Some(Held {
            shard,
            source,
            place,
            debt,
        })
    }

    /// How many have an account of their own.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).table.len()).sum()
    }

    /// How many can have one.
    pub(super) fn capacity(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).table.capacity()).sum()
    }

    /// What the tables have set aside, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).table.memory()).sum()
    }

    #[cfg(test)]
    pub(super) fn judged_by_shared(&self) -> u64 {
        self.judged_by_shared.get()
    }

    fn shard(&self, source: Source) -> MutexGuard<'_, Shard> {
        // The high bits: the low ones choose the chain in the table.
        let high = self.hasher.hash_one(source) >> 32;
        let index = (high % self.shards.len() as u64) as usize;
        lock(&self.shards[index])
    }
}

impl Held<'_> {
    /// Whether it is the one that newcomers share.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self.place, Place::Shared(_))
    }

    /// The account, and what judges it.
    pub(super) fn parts(&mut self) -> (&mut Account, &mut Meters) {
        let Shard { table, meters, .. } = &mut *self.shard;
        match &mut self.place {
            Place::Own(index) => (table.value(*index), meters),
            Place::Shared(shared) => (&mut shared.account, meters),
        }
    }

    /// Its buckets from now on.
    pub(super) fn set(&mut self, buckets: Buckets) {
        self.parts().0.buckets = buckets;
        if self.is_shared() {
            self.shard.owed = buckets;
        }
    }

    /// One more connection.
    pub(super) fn open(&mut self) {
        let open = &mut self.parts().0.open;
        *open = open.saturating_add(1);
    }

    /// One less.
    pub(super) fn close(&mut self) {
        let open = &mut self.parts().0.open;
        *open = open.saturating_sub(1);
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        match &self.place {
            Place::Own(_) => self.shard.lines.get(&self.source).map_or(0, Line::len),
            Place::Shared(shared) => shared.line.len(),
        }
    }

    /// Does something with its line.
    pub(super) fn with_line<T>(&mut self, change: impl FnOnce(&mut Line) -> T) -> T {
        match &mut self.place {
            Place::Own(_) => {
                let line = self.shard.lines.entry(self.source).or_default();
                let result = change(line);
                if line.len() == 0 {
                    self.shard.lines.remove(&self.source);
                }
                result
            }
            Place::Shared(shared) => change(&mut shared.line),
        }
    }
}

impl Buckets {
    const ALL_FULL: Self = Self {
        connections: FULL,
        handshakes: FULL,
    };

    const fn is_full(self, now: u64) -> bool {
        self.connections <= now && self.handshakes <= now
    }
}

impl Account {
    const fn new(buckets: Buckets) -> Self {
        Self { buckets, open: 0 }
    }
}

impl Forgettable for Account {
    fn is_idle(&self, now: u64) -> bool {
        self.open == 0 && self.buckets.is_full(now)
    }
}

/// A panic while one was held cannot leave an account half-written: every step is a single store.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Small tables are one shard: the fuller use of `max_sources` matters more there than contention.
const ACCOUNTS_PER_SHARD: usize = 1024;

const MAX_SHARDS: usize = 64;
