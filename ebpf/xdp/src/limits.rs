//! `Buckets` over maps that all generations share.
//!
//! Nothing is pushed out of a table of buckets: who comes back after that would find a full one. What has no room shares a bucket.

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray};
use ravelin_datapath::hash_table::{HashTable, Line as _};
use ravelin_datapath::limit::{self, Bucket, Buckets, Draw, Drawn, Place};
use ravelin_datapath::wire::{
    BUCKET_KEY_WORDS, BUCKET_WORDS, BucketKey, BucketRecord, LIMITS, LimitKey, LimitRecord, LimitTables,
    SOURCES, SourceKey, bucket,
};

use crate::lines::{MapLines, OwnLines, SourceLines};
use crate::maps::{Inbound, Outbound};
use crate::words::Words;

/// The numbers of limits: the daemon's, kept beside the buckets so that both live and die together. No program reads it.
#[map]
static LIMIT_NUMBERS: HashMap<LimitKey, LimitRecord> = HashMap::with_max_entries(LIMITS, BPF_F_NO_PREALLOC);

/// Who has completed a connection. Forged sources cannot, so they push out nobody; of those that can, the oldest gives way. Shared by all
/// generations, pinned.
#[map]
static SOURCES_KNOWN: LruHashMap<SourceKey, u64> = LruHashMap::with_max_entries(SOURCES, 0);

/// What came to pass in the tables of buckets. Shared by all generations, pinned.
#[map]
static LIMIT_COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(LimitTables::COUNTERS, 0);

/// What this processor's packet takes: here and not on the stack, for the reason that `FLOW_CLAIM` has.
#[map]
static LIMIT_DRAW: PerCpuArray<Draw> = PerCpuArray::with_max_entries(1, 0);

/// Takes what `make` says from the buckets.
#[inline(always)]
pub fn draw<const OUTBOUND: bool>(make: impl FnOnce() -> Draw) -> Drawn {
    let Some(at) = LIMIT_DRAW.get_ptr_mut(0) else {
        return Drawn::Fault;
    };
    // SAFETY: this CPU's own element.
    unsafe { at.write(make()) }
    Drawn::unpack(if OUTBOUND {
        ravelin_outbound_draw()
    } else {
        ravelin_draw()
    })
}

/// A connection that this source opened was completed.
#[inline(always)]
pub fn know(source: &SourceKey, tick: u64) {
    // No room takes an allocation that fails: the source stays unknown.
    let _remembered = SOURCES_KNOWN.insert(source, tick, 0);
}

/// What buckets say to this packet: global functions to the kernel, verified once, whatever leads to them.
macro_rules! draw {
    ($name:ident, $tables:ty) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name() -> u32 {
            let (Some(draw), Some(tables)) = (LIMIT_DRAW.get(0), <$tables>::open()) else {
                return Drawn::Fault as u32;
            };
            limit::draw(&tables, &MapBuckets, draw) as u32
        }
    };
}
draw!(ravelin_draw, Inbound);
draw!(ravelin_outbound_draw, Outbound);

/// The tables of buckets.
struct MapBuckets;

type BucketTable<T> = HashTable<MapLines<T>, BUCKET_KEY_WORDS, BUCKET_WORDS>;

impl Buckets for MapBuckets {
    type Bucket = MapBucket;

    #[inline(always)]
    fn find(&self, place: Place, key: &BucketKey) -> Option<MapBucket> {
        let found = match place {
            Place::Sources => BucketTable::new(MapLines::<SourceLines>::open()).find(key),
            Place::Own => BucketTable::new(MapLines::<OwnLines>::open()).find(key),
        };
        found.map(MapBucket)
    }

    #[inline(always)]
    fn enter(&self, place: Place, known: bool, key: &BucketKey, record: &BucketRecord) {
        // Whether it is there now, the next look tells.
        let _entered = match place {
            Place::Sources => {
                let table = BucketTable::new(MapLines::<SourceLines>::open());
                table.enter_to_stay(key, record, !known)
            }
            Place::Own => {
                let table = BucketTable::new(MapLines::<OwnLines>::open());
                table.enter_to_stay(key, record, false)
            }
        };
    }

    #[inline(always)]
    fn is_known(&self, source: &SourceKey) -> bool {
        SOURCES_KNOWN.get_ptr(source).is_some()
    }

    #[inline(always)]
    fn tell(&self, event: LimitTables) {
        if let Some(counter) = LIMIT_COUNTERS.get_ptr_mut(event as u32) {
            // SAFETY: this CPU's own element.
            unsafe { *counter += 1 }
        }
    }
}

/// A bucket in one of the maps.
struct MapBucket(Words);

impl Bucket for MapBucket {
    #[inline(always)]
    fn last(&self) -> u64 {
        self.0.load(bucket::LAST)
    }

    #[inline(always)]
    fn credits(&self) -> u64 {
        self.0.load(bucket::CREDITS)
    }

    #[inline(always)]
    fn move_last(&self, old: u64, new: u64) -> bool {
        self.0.swap(bucket::LAST, old, new)
    }

    #[inline(always)]
    fn move_credits(&self, old: u64, new: u64) -> bool {
        self.0.swap(bucket::CREDITS, old, new)
    }
}
