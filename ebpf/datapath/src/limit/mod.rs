//! Limits: how much of what a rule allows may come. Section 12 of `docs/semantics.md`.
//!
//! Packet that a rule allows → **the limit's numbers → a bucket** → granted, or over. A source has a bucket of its own while there is room;
//! where there is none, all newcomers share one, so a flood of forged sources gets what one source may have.

mod bucket;

use crate::Tables;
use crate::packet::Address;
use crate::wire::{
    BucketKey, BucketRecord, LIMIT_WORDS, Limit, LimitTables, Measure, Plane, SYN_BUDGET, Setting, Sharing,
    SourceKey, SourceLengths, source_key, source_of,
};

pub use bucket::{Bucket, Spent, spend};

/// What an allowed packet takes from buckets. Plain numbers without a gap: the kernel's functions hand it on by address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Draw {
    /// The flow clock, in nanoseconds.
    pub tick: u64,
    /// The first half of the source.
    pub high: u64,
    /// The second half.
    pub low: u64,
    /// A [`Plane`].
    pub plane: u32,
    /// Bytes of the frame.
    pub length: u32,
    /// The number of the rule's limit; 0: it has none.
    pub limit: u32,
    /// The rule's counter slot.
    pub slot: u32,
    /// 1: it takes from the budget of SYNs.
    pub syn: u32,
    /// The interface, by the kernel's number.
    pub interface: u32,
}

/// What buckets say to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Drawn {
    /// It passes.
    Granted = 0,
    /// Its rule's limit is used up.
    OverLimit = 1,
    /// The budget of SYNs is used up.
    OverBudget = 2,
    /// A lookup left its table.
    Fault = 3,
}

impl Drawn {
    /// The answer of a register.
    #[inline(always)]
    #[must_use]
    pub const fn unpack(word: u32) -> Self {
        match word {
            0 => Self::Granted,
            1 => Self::OverLimit,
            2 => Self::OverBudget,
            _ => Self::Fault,
        }
    }
}

/// Which table of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Of sources.
    Sources,
    /// Of limits themselves.
    Own,
}

/// How buckets are looked up: the seam between what becomes of them and whoever holds them.
pub trait Buckets {
    /// A bucket of these tables.
    type Bucket: Bucket;

    /// The bucket of that key.
    fn find(&self, place: Place, key: &BucketKey) -> Option<Self::Bucket>;

    /// Enters a bucket, unless there is one under that key or no room. Whatever a flood of forged sources takes, `known` ones have room of their
    /// own.
    fn enter(&self, place: Place, known: bool, key: &BucketKey, record: &BucketRecord);

    /// Whether a source is known: a connection that it opened was completed.
    fn is_known(&self, source: &SourceKey) -> bool;

    /// Counts what has come to pass.
    fn tell(&self, event: LimitTables);
}

/// Takes from the buckets what a packet needs, or says which of them has not enough. The rule's limit is asked before the budget: one source that
/// is over its own limit leaves the budget to others.
#[inline(always)]
pub fn draw(tables: &impl Tables, buckets: &impl Buckets, draw: &Draw) -> Drawn {
    if tables.setting(Setting::LimitsUsed) != 0 && draw.limit != 0 {
        match limited(tables, buckets, draw) {
            Some(true) => {}
            Some(false) => return Drawn::OverLimit,
            None => return Drawn::Fault,
        }
    }
    if tables.setting(Setting::SynBudgetUsed) != 0 && draw.syn != 0 {
        match budgeted(tables, buckets, draw) {
            Some(true) => {}
            Some(false) => return Drawn::OverBudget,
            None => return Drawn::Fault,
        }
    }
    Drawn::Granted
}

/// Whether the limit of the packet's rule grants it. `None` when a table is broken.
#[inline(always)]
fn limited(tables: &impl Tables, buckets: &impl Buckets, draw: &Draw) -> Option<bool> {
    let limits = tables.setting(Setting::Limits);
    let at = draw.limit.wrapping_sub(1).wrapping_mul(DOUBLES);
    let limit = Limit::unpack(&tables.doubles(limits.wrapping_add(at))?);
    let tokens = match limit.measure {
        Measure::Bytes => u64::from(draw.length),
        Measure::Packets | Measure::NewFlows => 1,
    };
    let bucket = match limit.sources {
        Some(lengths) => of_source(tables, buckets, &limit, lengths, draw),
        None => None,
    };
    let bucket = match bucket {
        Some(bucket) => Some(bucket),
        None => own(buckets, &limit, draw.tick, draw.slot, Sharing::All, 0),
    };
    Some(granted(buckets, bucket, &limit, draw.tick, tokens))
}

/// Doubles of a limit in its table.
#[expect(clippy::cast_possible_truncation, reason = "a handful")]
const DOUBLES: u32 = LIMIT_WORDS as u32;

/// Whether the budget of SYNs grants the packet. `None` when a table is broken.
#[inline(always)]
fn budgeted(tables: &impl Tables, buckets: &impl Buckets, draw: &Draw) -> Option<bool> {
    let (plane, address) = draw.source();
    if tables.setting(Setting::SourcesUsed) != 0 && buckets.is_known(&source_key(plane, address)) {
        return Some(true);
    }
    let limit = Limit::unpack(&tables.doubles(tables.setting(Setting::SynBudget))?);
    let interface = u64::from(draw.interface);
    let bucket = own(
        buckets,
        &limit,
        draw.tick,
        SYN_BUDGET,
        Sharing::Interface,
        interface,
    );
    Some(granted(buckets, bucket, &limit, draw.tick, 1))
}

/// The bucket of the packet's source. `None`: there is no room for one.
#[inline(always)]
fn of_source<B: Buckets>(
    tables: &impl Tables,
    buckets: &B,
    limit: &Limit,
    lengths: SourceLengths,
    draw: &Draw,
) -> Option<B::Bucket> {
    let (plane, address) = draw.source();
    let sharing = match plane {
        Plane::V4 => Sharing::Source4,
        Plane::V6 => Sharing::Source6,
    };
    let key = limit.key(draw.slot, sharing, source_of(plane, address, lengths));
    // Where a bucket stands it stays, also when its source becomes known.
    if let Some(bucket) = buckets.find(Place::Sources, &key) {
        return Some(bucket);
    }
    let record = [draw.tick, limit.capacity()];
    let remembers = tables.setting(Setting::SourcesUsed) != 0;
    let known = remembers && buckets.is_known(&source_key(plane, address));
    buckets.enter(Place::Sources, known, &key, &record);
    let bucket = buckets.find(Place::Sources, &key);
    buckets.tell(match bucket {
        Some(_) => LimitTables::Made,
        None => LimitTables::TableFull,
    });
    bucket
}

/// A bucket that belongs to the limit, and to nobody outside: `None` when there is no room for it.
#[inline(always)]
fn own<B: Buckets>(
    buckets: &B,
    limit: &Limit,
    now: u64,
    owner: u32,
    sharing: Sharing,
    which: u64,
) -> Option<B::Bucket> {
    let key = limit.key(owner, sharing, Address { high: which, low: 0 });
    if let Some(bucket) = buckets.find(Place::Own, &key) {
        return Some(bucket);
    }
    buckets.enter(Place::Own, true, &key, &[now, limit.capacity()]);
    let bucket = buckets.find(Place::Own, &key);
    if bucket.is_none() {
        buckets.tell(LimitTables::NoRoom);
    }
    bucket
}

/// Whether the tokens are in the bucket, and taken. Without a bucket the answer is no: what is full never opens the door.
#[inline(always)]
fn granted(
    buckets: &impl Buckets,
    bucket: Option<impl Bucket>,
    limit: &Limit,
    now: u64,
    tokens: u64,
) -> bool {
    let Some(bucket) = bucket else {
        return false;
    };
    match spend(&bucket, limit, now, tokens) {
        Spent::Granted => true,
        Spent::TooLittle => false,
        Spent::Contended => {
            buckets.tell(LimitTables::Contended);
            false
        }
    }
}

impl Draw {
    #[inline(always)]
    const fn source(&self) -> (Plane, Address) {
        let plane = if self.plane == Plane::V4 as u32 {
            Plane::V4
        } else {
            Plane::V6
        };
        let address = Address {
            high: self.high,
            low: self.low,
        };
        (plane, address)
    }
}
