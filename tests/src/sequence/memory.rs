//! Flows and buckets in user space, as the kernel's tables hold them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use ravelin_datapath::flow::FlowTable;
use ravelin_datapath::hash_table::{Lines, SliceLines};
use ravelin_datapath::limit::Place;
use ravelin_datapath::wire::{
    BUCKET_WORDS, BucketKey, BucketRecord, FLOW_LINE, FLOW_WORDS, FlowKey, FlowRecord, FlowTables,
    HASH_NUMBERS, LimitTables, SourceKey, bucket,
};
use ravelin_datapath::{Bucket, Buckets, FlowCell, Flows};

/// A flow table, and tables of buckets with a bound.
#[derive(Debug)]
pub struct Remembered {
    /// Buckets of known sources that there is room for, and as many of others.
    room: usize,
    buckets: RefCell<HashMap<(Place, BucketKey), (FoundBucket, bool)>>,
    sources: RefCell<HashMap<SourceKey, u64>>,
    events: [Cell<u64>; LimitTables::ALL.len()],
    /// ACKs that have brought back a cookie.
    pub(super) proven: Cell<u64>,
    flows: Vec<AtomicU64>,
    datagrams: RefCell<HashMap<FlowKey, Rc<Words>>>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self::with_room(usize::MAX)
    }
}

impl Remembered {
    /// With room for so many buckets of known sources, and as many of others.
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        Self {
            room,
            buckets: RefCell::default(),
            sources: RefCell::default(),
            events: Default::default(),
            proven: Cell::default(),
            flows: (0..LINES * FLOW_LINE).map(|_| AtomicU64::new(0)).collect(),
            datagrams: RefCell::default(),
        }
    }

    /// How often each of [`LimitTables::ALL`] has come to pass.
    #[must_use]
    pub fn events(&self) -> [u64; LimitTables::ALL.len()] {
        self.events.each_ref().map(Cell::get)
    }

    /// How many ACKs have brought back a cookie.
    #[must_use]
    pub fn proven(&self) -> u64 {
        self.proven.get()
    }

    /// Buckets of known sources, or of others.
    #[must_use]
    pub fn source_buckets(&self, known: bool) -> usize {
        let buckets = self.buckets.borrow();
        let of_sources = buckets.iter().filter(|((place, _), _)| *place == Place::Sources);
        of_sources.filter(|(_, (_, is))| *is == known).count()
    }

    /// Takes out buckets that `is_over` says so of.
    pub fn sweep(&self, is_over: impl Fn(&BucketKey, &BucketRecord) -> bool) {
        let mut buckets = self.buckets.borrow_mut();
        buckets.retain(|(_, key), (bucket, _)| !is_over(key, &bucket.0.each_ref().map(Cell::get)));
    }
}

/// A bucket in its table.
#[derive(Clone, Debug)]
pub struct FoundBucket(Rc<[Cell<u64>; BUCKET_WORDS]>);

impl Buckets for Remembered {
    type Bucket = FoundBucket;

    fn find(&self, place: Place, key: &BucketKey) -> Option<FoundBucket> {
        let buckets = self.buckets.borrow();
        buckets.get(&(place, *key)).map(|(bucket, _)| bucket.clone())
    }

    fn enter(&self, place: Place, known: bool, key: &BucketKey, record: &BucketRecord) {
        if place == Place::Own || self.source_buckets(known) < self.room {
            let mut buckets = self.buckets.borrow_mut();
            buckets
                .entry((place, *key))
                .or_insert_with(|| (FoundBucket(Rc::new(record.map(Cell::new))), known));
        }
    }

    fn is_known(&self, source: &SourceKey) -> bool {
        self.sources.borrow().contains_key(source)
    }

    fn tell(&self, event: LimitTables) {
        let counter = &self.events[event as usize];
        counter.set(counter.get() + 1);
    }
}

impl Bucket for FoundBucket {
    fn last(&self) -> u64 {
        self.0[bucket::LAST].get()
    }

    fn credits(&self) -> u64 {
        self.0[bucket::CREDITS].get()
    }

    fn move_last(&self, old: u64, new: u64) -> bool {
        swap(&self.0[bucket::LAST], old, new)
    }

    fn move_credits(&self, old: u64, new: u64) -> bool {
        swap(&self.0[bucket::CREDITS], old, new)
    }
}

fn swap(word: &Cell<u64>, old: u64, new: u64) -> bool {
    let same = word.get() == old;
    if same {
        word.set(new);
    }
    same
}

#[derive(Debug)]
struct Words([Cell<u64>; FLOW_WORDS]);

struct Found(Rc<Words>);

impl Flows for Remembered {
    fn table(&self) -> FlowTable<impl Lines> {
        FlowTable::new(SliceLines::new(&self.flows, FLOW_LINE, &SECRET))
    }

    fn count(&self, event: FlowTables) {
        // Sequences are short: whatever they open has room.
        assert!(!matches!(event, FlowTables::NoRoom | FlowTables::NotSettled));
    }

    fn know(&self, source: &SourceKey, tick: u64) {
        self.sources.borrow_mut().insert(*source, tick);
    }

    fn datagram(&self, key: &FlowKey) -> Option<impl FlowCell> {
        self.datagrams.borrow().get(key).cloned().map(Found)
    }

    fn begin(&self, key: &FlowKey, record: &FlowRecord) {
        let words = Words(record.map(Cell::new));
        self.datagrams.borrow_mut().insert(*key, Rc::new(words));
    }
}

impl FlowCell for Found {
    fn load(&self) -> FlowRecord {
        let Words(words) = &*self.0;
        words.each_ref().map(Cell::get)
    }

    fn store(&self, index: usize, word: u64) {
        let Words(words) = &*self.0;
        words[index].set(word);
    }
}

/// Lines of the flow table: few, so that flows meet in them.
const LINES: usize = 16;

/// Numbers that a daemon would draw.
const SECRET: [u64; HASH_NUMBERS] = {
    let mut numbers = [0; HASH_NUMBERS];
    let mut number = 0x2545_f491_4f6c_dd1d_u64;
    let mut index = 0;
    while index < HASH_NUMBERS {
        // Marsaglia, "Xorshift RNGs", 2003.
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        numbers[index] = number | 1;
        index += 1;
    }
    numbers
};
