//! The tables of flows and buckets of programs under test: pinned, so that one generation after another finds them.

use std::fs;
use std::path::PathBuf;

use aya::maps::{HashMap, Map, MapData};
use ravelin_daemon::network::hash_table::MappedLines;
use ravelin_daemon::network::shared;
use ravelin_datapath::flow::FlowTable;
use ravelin_datapath::hash_table::{Entered, HashTable, SliceLines};
use ravelin_datapath::wire::{
    BUCKET_KEY_WORDS, BUCKET_LINE, BUCKET_WORDS, Ends, FLOW_LINE, Flow, FlowKey, FlowRecord, SourceKey, WAYS,
};

use super::pin_path;

type BucketTable<'m> = HashTable<SliceLines<'m>, BUCKET_KEY_WORDS, BUCKET_WORDS>;

/// Flows and buckets that stay from one generation to the next.
pub struct FlowMemory {
    pub(super) folder: PathBuf,
    /// Flows that there is room for.
    pub(super) room: u32,
    /// Buckets that each of their tables holds.
    pub(super) buckets: u32,
}

impl FlowMemory {
    /// None yet.
    ///
    /// # Panics
    /// When no bpf file system is mounted.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::with_room(FLOWS)
    }

    /// The same, in tables that hold so many flows each.
    ///
    /// # Panics
    /// When no bpf file system is mounted.
    #[must_use]
    #[track_caller]
    pub fn with_room(room: u32) -> Self {
        let folder = pin_path();
        fs::create_dir(&folder).expect("the bpf file system is mounted");
        Self {
            folder,
            room,
            buckets: room,
        }
    }

    /// The same, with tables that hold so many buckets each.
    #[must_use]
    pub fn with_buckets(mut self, buckets: u32) -> Self {
        self.buckets = buckets;
        self
    }
}

impl FlowMemory {
    /// Lines of each hash table: twice as many ways as there is room for, as the daemon's tables have them.
    pub(super) fn tables(&self) -> [(&'static str, u32); 3] {
        let lines = |room: u32| {
            (2 * room)
                .div_ceil(u32::try_from(WAYS).expect("few"))
                .next_power_of_two()
        };
        // Half of those of sources is for known ones.
        [
            (shared::FLOWS, lines(self.room)),
            (shared::LIMITS_SOURCES, lines(2 * self.buckets)),
            (shared::LIMITS_OWN, lines(self.buckets)),
        ]
    }

    /// Forgets everything.
    ///
    /// # Panics
    /// When a table cannot be read.
    #[track_caller]
    pub fn forget(&self) {
        let flows = self.lines(shared::FLOWS, FLOW_LINE);
        FlowTable::new(flows.lines()).sweep(|_, _| true);
        let mut table = self.datagrams();
        let keys: Vec<FlowKey> = table.keys().filter_map(Result::ok).collect();
        for key in keys {
            table.remove(&key).expect("nobody else removes it");
        }
        for name in BUCKETS {
            let lines = self.lines(name, BUCKET_LINE);
            BucketTable::new(lines.lines()).sweep(|_, _| true);
        }
        let mut sources = self.sources();
        let keys: Vec<SourceKey> = sources.keys().filter_map(Result::ok).collect();
        for key in keys {
            sources.remove(&key).expect("nobody else removes it");
        }
    }

    /// How many buckets of sources there are: of known ones, and of others.
    ///
    /// # Panics
    /// When no program is loaded that has them.
    #[must_use]
    #[track_caller]
    pub fn source_buckets(&self) -> [usize; 2] {
        let lines = self.lines(shared::LIMITS_SOURCES, BUCKET_LINE);
        let (known, others): (Vec<_>, Vec<_>) = BucketTable::new(lines.lines())
            .entries()
            .partition(|entry| entry.kept);
        [known.len(), others.len()]
    }

    #[track_caller]
    fn sources(&self) -> HashMap<MapData, SourceKey, u64> {
        let data = MapData::from_pin(self.folder.join(shared::SOURCES_KNOWN)).expect("a program is loaded");
        Map::LruHashMap(data).try_into().expect("the known sources")
    }

    /// A source has completed a connection.
    ///
    /// # Panics
    /// When there is no room.
    #[track_caller]
    pub fn know(&self, source: SourceKey) {
        self.sources().insert(source, 0, 0).expect("room for a source");
    }
}

impl FlowMemory {
    /// Enters flows whose both ends are there.
    ///
    /// # Panics
    /// When there is no room.
    #[track_caller]
    pub fn enter(&self, flows: impl Iterator<Item = (Ends, Flow)>) {
        let lines = self.lines(shared::FLOWS, FLOW_LINE);
        let table = FlowTable::new(lines.lines());
        for (ends, flow) in flows {
            let entered = table.enter_settled(&ends.key(), &flow.pack());
            assert_eq!(entered, Entered::Done, "room for a flow");
        }
    }

    #[track_caller]
    fn lines(&self, name: &str, line: usize) -> MappedLines {
        let [table, secret] = [name, shared::HASH_SECRET].map(|name| self.folder.join(name));
        MappedLines::open(&table, &secret, line).expect("a program is loaded")
    }

    #[track_caller]
    fn datagrams(&self) -> HashMap<MapData, FlowKey, FlowRecord> {
        let data = MapData::from_pin(self.folder.join(shared::FRAGMENTS)).expect("a program is loaded");
        Map::LruHashMap(data).try_into().expect("the datagrams")
    }
}

impl Default for FlowMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FlowMemory {
    fn drop(&mut self) {
        let others = [
            shared::FLOWS,
            shared::HASH_SECRET,
            shared::FRAGMENTS,
            shared::SOURCES_KNOWN,
        ];
        for name in others.iter().chain(&BUCKETS) {
            let _not_made = fs::remove_file(self.folder.join(name));
        }
        let _best_effort = fs::remove_dir(&self.folder);
    }
}

/// The tables of buckets.
const BUCKETS: [&str; 2] = [shared::LIMITS_SOURCES, shared::LIMITS_OWN];

/// Flows that a [`FlowMemory`] has room for in each of its tables.
pub const FLOWS: u32 = 1024;
