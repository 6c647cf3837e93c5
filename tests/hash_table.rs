//! The hash table of flows against a map that forgets nothing: what may be missing, what may not, and on several threads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ravelin_datapath::hash_table::{Entered, Entry, HashTable, Line as _, SliceLines};
use ravelin_datapath::wire::{
    BUCKET_KEY_WORDS, BUCKET_LINE, BUCKET_LINES, BUCKET_WORDS, BUCKETS, FLOW_KEY_WORDS, FLOW_LINE,
    FLOW_LINES, FLOW_WORDS, FLOWS, HASH_NUMBERS, WAYS, line_words,
};
use ravelin_tests::random::{self, Random};

const KEY: usize = 2;
const VALUE: usize = 2;

type Small<'m> = HashTable<SliceLines<'m>, KEY, VALUE>;

#[test]
fn whatever_is_done_only_what_may_give_way_is_missing() {
    let seed = random::seed();
    let mut random = Random::new(seed);
    let mut told = HashMap::<&str, u32>::new();
    for table in 0..TABLES {
        let lines = 1 << random.below(4);
        let (memory, secret) = (words(lines * line_words(KEY, VALUE)), secret(&mut random));
        let small = Small::new(SliceLines::new(&memory, line_words(KEY, VALUE), &secret));
        let keys = (lines * WAYS) as u64 * 3 / 2;
        let mut model = Model::default();
        for time in 0..STEPS {
            let key = [random.below(keys), 7];
            let what = model.step(&small, key, time, &mut random);
            *told.entry(what).or_default() += 1;
            model.compare(
                &small,
                &format!("seed {seed}, table {table}, step {time}: {what} {key:?}"),
            );
        }
    }
    println!("seed {seed}: {told:?}");
    for what in [
        "entered",
        "gave way",
        "no room",
        "kept",
        "not kept",
        "removed",
        "swept",
        "entered, kept",
    ] {
        assert!(
            told.get(what).is_some_and(|count| *count > 50),
            "too few: {told:?}"
        );
    }
}

/// What was entered and not taken out: the value, and whether it is kept.
#[derive(Default)]
struct Model(HashMap<[u64; KEY], ([u64; VALUE], bool)>);

impl Model {
    fn step(&mut self, table: &Small<'_>, key: [u64; KEY], time: u32, random: &mut Random) -> &'static str {
        let value = [random.bits(), u64::from(time)];
        match random.below(1000) {
            0..350 => {
                let before = self.0.len();
                if table.enter(&key, &value, time) == Entered::NoRoom {
                    assert!(!self.0.contains_key(&key), "its own way is free to it");
                    return "no room";
                }
                self.0.insert(key, (value, false));
                let missing: Vec<_> = self.missing(table);
                for gone in &missing {
                    let (_, kept) = self.0.remove(gone).unwrap_or_default();
                    assert!(!kept, "{gone:?} was kept, and gave way");
                }
                assert!(missing.len() <= 1 && (missing.is_empty() || self.0.len() == before));
                if missing.is_empty() { "entered" } else { "gave way" }
            }
            350..500 => {
                if table.enter_to_stay(&key, &value, false) == Entered::NoRoom {
                    assert!(!self.0.contains_key(&key));
                    return "no room";
                }
                let stands = self.0.contains_key(&key);
                self.0.entry(key).or_insert((value, true));
                for gone in self.missing(table) {
                    let (_, kept) = self.0.remove(&gone).unwrap_or_default();
                    assert!(!kept && !stands);
                }
                "entered, kept"
            }
            500..950 => match (table.keep(&key), self.0.get_mut(&key)) {
                (true, Some((_, kept))) => {
                    *kept = true;
                    "kept"
                }
                (false, Some((_, kept))) => {
                    assert!(!*kept, "it is kept already");
                    "not kept"
                }
                (done, None) => {
                    assert!(!done, "it is not there");
                    "not there"
                }
            },
            950..995 => {
                table.remove(&key);
                self.0.remove(&key);
                "removed"
            }
            _ => {
                let odd = random.below(8);
                let over = |key: &[u64; KEY]| key[0] % 8 == odd;
                let wanted = self.0.keys().filter(|key| over(key)).count();
                assert_eq!(table.sweep(|key, _| over(key)), wanted);
                self.0.retain(|key, _| !over(key));
                "swept"
            }
        }
    }

    /// The keys that cannot be found.
    fn missing(&self, table: &Small<'_>) -> Vec<[u64; KEY]> {
        let keys = self.0.keys().filter(|key| table.find(key).is_none());
        keys.copied().collect()
    }

    #[track_caller]
    fn compare(&self, table: &Small<'_>, story: &str) {
        for (key, (value, _)) in &self.0 {
            let found = table.find(key).map(|line| [line.load(0), line.load(1)]);
            assert_eq!(found, Some(*value), "{story}: {key:?}");
        }
        let all: HashMap<_, _> = table.entries().map(|entry| (entry.key, entry)).collect();
        assert_eq!(
            all.len(),
            self.0.len(),
            "{story}: an entry that nobody entered, or twice"
        );
        assert!(
            all.iter()
                .all(|(key, entry)| self.0.get(key) == Some(&(entry.value, entry.kept)))
        );
    }
}

#[test]
fn the_oldest_of_those_that_may_gives_way() {
    let (memory, secret) = (words(line_words(KEY, VALUE)), secret(&mut Random::new(1)));
    let table = Small::new(SliceLines::new(&memory, line_words(KEY, VALUE), &secret));
    // The clock goes round.
    let start = u32::MAX - 3;
    for key in 0_u32..8 {
        assert_eq!(
            table.enter(&[key.into(), 0], &[0; VALUE], start.wrapping_add(key)),
            Entered::Done
        );
    }
    assert!(table.keep(&[0, 0]) && table.keep(&[1, 0]));
    for (new, gone) in (8_u32..20).zip([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]) {
        assert_eq!(
            table.enter(&[new.into(), 0], &[0; VALUE], start.wrapping_add(new)),
            Entered::Done
        );
        assert!(table.find(&[gone, 0]).is_none(), "{gone}");
        assert!(table.find(&[0, 0]).is_some() && table.find(&[1, 0]).is_some());
    }
}

#[test]
fn keys_that_the_hash_cannot_tell_apart_are_never_mistaken_for_each_other() {
    let mut secret = secret(&mut Random::new(1));
    // The lower half of the first word counts for nothing.
    secret[1] = 0;
    let memory = words(8 * line_words(KEY, VALUE));
    let table = Small::new(SliceLines::new(&memory, line_words(KEY, VALUE), &secret));
    let enter = |key: u64| table.enter(&[key, 0], &[key, key], 0);
    let value = |key: u64| table.find(&[key, 0]).map(|line| line.load(0));
    // One in each of the two lines, and no room for a third.
    assert_eq!(
        [enter(1), enter(2), enter(3)],
        [Entered::Done, Entered::Done, Entered::NoRoom]
    );
    assert_eq!([value(1), value(2), value(3)], [Some(1), Some(2), None]);
    assert!(table.keep(&[2, 0]) && !table.keep(&[3, 0]));
    table.remove(&[3, 0]);
    table.remove(&[1, 0]);
    assert_eq!([value(1), value(2)], [None, Some(2)]);
    assert_eq!((enter(3), value(3), value(2)), (Entered::Done, Some(3), Some(2)));
}

#[test]
fn as_many_flows_as_promised_have_room_for_good() {
    let seed = random::seed();
    let mut random = Random::new(seed);
    let memory = words(FLOW_LINES as usize * FLOW_LINE);
    for round in 0..4 {
        memory.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        let secret = secret(&mut random);
        let lines = SliceLines::new(&memory, FLOW_LINE, &secret);
        let table = HashTable::<_, FLOW_KEY_WORDS, FLOW_WORDS>::new(lines);
        // As a client of one address has them, from one port after the other.
        let key = |flow: u32| {
            [
                0x0a00_0001 << 32,
                0,
                0x0a00_0002 << 32,
                0,
                u64::from(flow) << 40 | 6,
            ]
        };
        for flow in 0..FLOWS {
            assert_eq!(table.enter(&key(flow), &[0; FLOW_WORDS], 0), Entered::Done);
            assert!(
                table.keep(&key(flow)),
                "seed {seed}, round {round}: flow {flow} of {FLOWS}"
            );
        }
        // Ten times as many open: each finds room, and takes it from none of those.
        for flow in FLOWS..11 * FLOWS {
            assert_eq!(table.enter(&key(flow), &[0; FLOW_WORDS], flow), Entered::Done);
        }
        assert!(table.find(&key(11 * FLOWS - 1)).is_some());
        assert!((0..FLOWS).all(|flow| table.find(&key(flow)).is_some()));
    }
}

#[test]
fn ten_times_as_many_guests_as_have_room_leave_theirs_to_those_that_are_kept() {
    let seed = random::seed();
    let secret = secret(&mut Random::new(seed));
    let memory = words(BUCKET_LINES as usize * BUCKET_LINE);
    let lines = SliceLines::new(&memory, BUCKET_LINE, &secret);
    let table = HashTable::<_, BUCKET_KEY_WORDS, BUCKET_WORDS>::new(lines);
    let key = |source: u32| [1, u64::from(source) << 32, 0];
    let enter = |source| table.enter_to_stay(&key(source), &[0; BUCKET_WORDS], true) == Entered::Done;
    assert!((0..BUCKETS).all(enter), "seed {seed}: as many as promised");
    let more = (BUCKETS..10 * BUCKETS).filter(|source| enter(*source)).count();
    let half = BUCKET_LINES as usize * WAYS / 2;
    assert!(
        BUCKETS as usize + more <= half,
        "half of all ways, and no more: {more}"
    );
    for source in 11 * BUCKETS..12 * BUCKETS {
        let entered = table.enter_to_stay(&key(source), &[0; BUCKET_WORDS], false);
        assert_eq!(entered, Entered::Done, "seed {seed}: {source}");
    }
    assert!(
        (0..BUCKETS)
            .chain(11 * BUCKETS..12 * BUCKETS)
            .all(|source| table.find(&key(source)).is_some())
    );
}

#[test]
fn threads_leave_whole_entries_and_no_way_taken() {
    let (memory, secret) = (words(4 * line_words(KEY, VALUE)), secret(&mut Random::new(9)));
    let table = Small::new(SliceLines::new(&memory, line_words(KEY, VALUE), &secret));
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let mut random = Random::new(thread);
                for time in 0..100_000 {
                    let key = [random.below(48), 3];
                    match random.below(8) {
                        0..4 => drop(table.enter(&key, &[key[0], !key[0]], time)),
                        4 => drop(table.keep(&key)),
                        5 => table.remove(&key),
                        6 => drop(table.sweep(|found, _| found[0] == key[0])),
                        _ => drop(table.find(&key)),
                    }
                }
            });
        }
    });
    let mut entries = 0;
    for Entry { key, value, .. } in table.entries() {
        assert_eq!(value, [key[0], !key[0]], "an entry of two");
        entries += 1;
    }
    // Whatever is left can be taken out, and then every way is free.
    assert_eq!(table.sweep(|_, _| true), entries);
    for line in memory.chunks(line_words(KEY, VALUE)) {
        assert!(line[..WAYS].iter().all(|tag| tag.load(Ordering::Relaxed) == 0));
    }
}

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn secret(random: &mut Random) -> [u64; HASH_NUMBERS] {
    std::array::from_fn(|_| random.bits() | 1)
}

const TABLES: usize = 200;
const STEPS: u32 = 600;
