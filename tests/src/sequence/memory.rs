//! Flows and buckets in user space, as the kernel's tables hold them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use ravelin_datapath::limit::Place;
use ravelin_datapath::wire::{
    BUCKET_WORDS, BucketKey, BucketRecord, FLOW_WORDS, FlowKey, FlowRecord, LimitTables, SourceKey, bucket,
};
use ravelin_datapath::{Bucket, Buckets, FlowCell, Flows};

/// A flow table without bound, and tables of buckets with one.
#[derive(Debug)]
pub struct Remembered {
    /// Buckets of sources that each of their two tables holds.
    room: usize,
    buckets: RefCell<HashMap<(Place, BucketKey), FoundBucket>>,
    sources: RefCell<HashMap<SourceKey, u64>>,
    events: [Cell<u64>; LimitTables::ALL.len()],
    /// ACKs that have brought back a cookie.
    pub(super) proven: Cell<u64>,
    flows: RefCell<HashMap<FlowKey, Rc<Words>>>,
    datagrams: RefCell<HashMap<FlowKey, Rc<Words>>>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self::with_room(usize::MAX)
    }
}

impl Remembered {
    /// With room for so many buckets of sources in each of their two tables.
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        Self {
            room,
            buckets: RefCell::default(),
            sources: RefCell::default(),
            events: Default::default(),
            proven: Cell::default(),
            flows: RefCell::default(),
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

    /// Buckets of a table.
    #[must_use]
    pub fn buckets(&self, place: Place) -> usize {
        self.buckets
            .borrow()
            .keys()
            .filter(|(at, _)| *at == place)
            .count()
    }

    /// Takes out buckets that `is_over` says so of.
    pub fn sweep(&self, is_over: impl Fn(&BucketKey, &BucketRecord) -> bool) {
        let mut buckets = self.buckets.borrow_mut();
        buckets.retain(|(_, key), bucket| !is_over(key, &bucket.0.each_ref().map(Cell::get)));
    }
}

/// A bucket in its table.
#[derive(Clone, Debug)]
pub struct FoundBucket(Rc<[Cell<u64>; BUCKET_WORDS]>);

impl Buckets for Remembered {
    type Bucket = FoundBucket;

    fn find(&self, place: Place, key: &BucketKey) -> Option<FoundBucket> {
        self.buckets.borrow().get(&(place, *key)).cloned()
    }

    fn enter(&self, place: Place, key: &BucketKey, record: &BucketRecord) {
        if place == Place::Own || self.buckets(place) < self.room {
            let mut buckets = self.buckets.borrow_mut();
            buckets
                .entry((place, *key))
                .or_insert_with(|| FoundBucket(Rc::new(record.map(Cell::new))));
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
    fn find(&self, key: &FlowKey) -> Option<impl FlowCell> {
        self.flows.borrow().get(key).cloned().map(Found)
    }

    fn open(&self, key: &FlowKey, record: &FlowRecord) {
        let words = Words(record.map(Cell::new));
        self.flows.borrow_mut().insert(*key, Rc::new(words));
    }

    fn settle(&self, _: &FlowKey, _: &FlowRecord) {}

    fn know(&self, source: &SourceKey, tick: u64) {
        self.sources.borrow_mut().insert(*source, tick);
    }

    fn remove(&self, key: &FlowKey) {
        self.flows.borrow_mut().remove(key);
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
