//! Token buckets against the bucket of the textbook: exact at every extreme, never more on several processors, and flat when sources are forged.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ravelin_datapath::limit::{self, Bucket, Draw, Drawn, Spent, spend};
use ravelin_datapath::wire::{
    BucketRecord, Limit, LimitTables, Measure, Plane, Setting, SourceLengths, bucket, source_key,
};
use ravelin_datapath::{Flows as _, Tables as _};
use ravelin_rules::{Direction, TableImage, load_text};
use ravelin_tests::random::{self, Random};
use ravelin_tests::sequence::{Remembered, host};

#[test]
fn a_bucket_is_that_of_the_textbook_at_every_extreme() {
    let seed = random::seed();
    let mut random = Random::new(seed);
    let (mut granted, mut refused) = (0_u64, 0_u64);
    for round in 0..ROUNDS {
        let limit = extreme(&mut random);
        let any = random.bits() >> 1;
        let start = random.pick(&[0, 1, any]);
        let bucket = Atomic::of([start, limit.capacity()]);
        let mut model = Model {
            credits: u128::from(limit.capacity()),
            at: start,
        };
        let mut now = start;
        for step in 0..STEPS {
            now = now.saturating_add(wait(&mut random, &limit));
            let tokens = random.pick(&[0, 1, 1, 2, limit.burst, limit.burst.saturating_add(1), u64::MAX]);
            let said = spend(&bucket, &limit, now, tokens);
            let wanted = model.spend(&limit, now, tokens);
            assert_eq!(
                said == Spent::Granted,
                wanted,
                "seed {seed}, round {round}, step {step}: {tokens} tokens at {now} of {limit:?}"
            );
            let record = bucket.record();
            assert_eq!(
                u128::from(limit.level(&record, now)),
                model.credits / u128::from(limit.per)
            );
            assert_eq!(
                limit.is_full(&record, now),
                model.credits == u128::from(limit.capacity())
            );
            if wanted {
                granted += 1;
            } else {
                refused += 1;
            }
        }
    }
    println!("seed {seed}: {granted} granted, {refused} refused, 0 differences");
    assert!(granted * 10 > refused && refused * 10 > granted);
}

#[test]
fn several_processors_never_get_more_than_one_would() {
    for (count, burst) in [(1, 1), (3, 7), (1_000_000, 1000)] {
        let limit = Limit::new(count, 1_000_000_000, burst, Measure::Packets, None).expect("a limit");
        let bucket = Atomic::of([0, limit.capacity()]);
        let (clock, barrier) = (AtomicU64::new(0), Barrier::new(THREADS));
        let granted: u64 = thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let asked = (0..PACKETS).filter(|_| {
                            // Each has its own idea of the present, as processors have.
                            let now = clock.fetch_add(STEP, Ordering::Relaxed);
                            spend(&bucket, &limit, now, 1) == Spent::Granted
                        });
                        asked.count() as u64
                    })
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("no panic"))
                .sum()
        });
        let elapsed = u128::from(clock.load(Ordering::Relaxed));
        let most = (u128::from(limit.capacity()) + elapsed * u128::from(count)) / 1_000_000_000;
        assert!(u128::from(granted) <= most, "{granted} of {most}: {limit:?}");
        assert!(granted >= burst, "{granted}: not even what was there: {limit:?}");
    }
}

#[test]
fn forged_sources_take_no_more_room_than_there_is_and_nobody_loses_a_bucket_to_them() {
    let image = image(
        "[firewall]\ninterfaces = [\"eth0\"]\n[[rule]]\nname = \"a\"\naction = \"allow\"\nprotocol = \"tcp\"\n\
         limit = { new_flows = \"10/h\", burst = 10 }\n",
    );
    let memory = Remembered::with_room(ROOM);
    let from = |source: u32| draw(&image, &memory, source);
    memory.know(&source_key(Plane::V4, address(KNOWN)), 0);
    // Two who were there before: each with half a bucket left.
    for source in [KNOWN, FIRST] {
        for _ in 0..5 {
            assert_eq!(from(source), Drawn::Granted);
        }
    }
    let forged = FIRST + 1..FIRST + 1 + 10 * u32::try_from(ROOM).expect("few");
    let passed = forged
        .clone()
        .filter(|source| from(*source) == Drawn::Granted)
        .count();
    assert_eq!(
        memory.source_buckets(false),
        ROOM,
        "no more than there is room for"
    );
    // One each for those that found room; the rest share one bucket.
    assert_eq!(passed, ROOM - 1 + 10);
    let [made, table_full, no_room, contended] = memory.events();
    assert_eq!(made, 1 + ROOM as u64);
    assert_eq!(table_full, 10 * ROOM as u64 - (ROOM as u64 - 1));
    assert_eq!((no_room, contended), (0, 0));
    // Whoever had a bucket has what he had; who is known finds room all the same.
    for source in [KNOWN, FIRST] {
        let left = (0..10).filter(|_| from(source) == Drawn::Granted).count();
        assert_eq!(left, 5);
    }
    memory.know(&source_key(Plane::V4, address(KNOWN + 1)), 0);
    assert_eq!(from(KNOWN + 1), Drawn::Granted);
    assert_eq!(memory.source_buckets(true), 2);

    // What is full again makes room.
    let (_, limit) = image.limits().next().expect("a limit");
    let later = 400_000_000_000;
    memory.sweep(|_, record| limit.is_full(record, later));
    assert_eq!(memory.source_buckets(false), 1, "all but the emptied one");
    assert_eq!(from(forged.end), Drawn::Granted);
}

#[test]
fn a_source_keeps_its_bucket_when_it_becomes_known_and_when_nobody_asks_any_more() {
    let image = image(
        "[firewall]\ninterfaces = [\"eth0\"]\n[[rule]]\nname = \"a\"\naction = \"allow\"\nprotocol = \"tcp\"\n\
         limit = { new_flows = \"10/h\", burst = 10 }\n",
    );
    let memory = Remembered::default();
    let take = |image: &TableImage, source: u32, times: usize| {
        let granted = (0..times).filter(|_| draw(image, &memory, source) == Drawn::Granted);
        granted.count()
    };
    // Unknown at first, and known later.
    assert_eq!(take(&image, FIRST, 6), 6);
    memory.know(&source_key(Plane::V4, address(FIRST)), 0);
    assert_eq!(take(&image, FIRST, 6), 4);
    // Known at first, and then judged by tables that remember nobody.
    memory.know(&source_key(Plane::V4, address(KNOWN)), 0);
    assert_eq!(take(&image, KNOWN, 6), 6);
    assert_eq!(memory.source_buckets(true), 1);
    assert_eq!(take(&image.with(Setting::SourcesUsed, 0), KNOWN, 6), 4);
}

#[test]
fn the_shared_bucket_of_newcomers_never_opens_the_door() {
    let image = image(
        "[firewall]\ninterfaces = [\"eth0\"]\n[[rule]]\nname = \"a\"\naction = \"allow\"\nprotocol = \"tcp\"\n\
         limit = { new_flows = \"1/h\" }\n",
    );
    let memory = Remembered::with_room(0);
    let granted = (0..1000).filter(|source| draw(&image, &memory, *source) == Drawn::Granted);
    assert_eq!(
        granted.count(),
        1,
        "a thousand newcomers get what one source may have"
    );
}

/// What one packet of that source gets from the first rule's limit.
fn draw(image: &TableImage, memory: &Remembered, source: u32) -> Drawn {
    let packet = Draw {
        high: address(source).high,
        plane: Plane::V4 as u32,
        length: 60,
        limit: 1,
        ..Draw::default()
    };
    limit::draw(image, memory, &packet)
}

fn address(source: u32) -> ravelin_datapath::packet::Address {
    ravelin_datapath::packet::Address::v4(source.to_be_bytes())
}

fn image(text: &str) -> TableImage {
    let policy = load_text(text)
        .unwrap_or_else(|report| panic!("{}", report.render()))
        .policy;
    let image = TableImage::compile(&policy, &host(&policy), Direction::Inbound)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(image.setting(Setting::LimitsUsed), 1);
    image
}

/// A limit with numbers at the ends of what fits, and in between.
fn extreme(random: &mut Random) -> Limit {
    loop {
        let any = 1 + random.bits() % 1_000_000;
        let per = random.pick(&[1, 1_000_000_000, 3_600_000_000_000, u64::MAX >> 1, any]);
        let most = Limit::most(per).max(1);
        let any = 1 + random.bits() % most;
        let burst = random.pick(&[1, 2, most, most - most / 2, any]);
        let any = 1 + random.bits() % 1_000_000;
        let count = random.pick(&[1, 2, 7, 1_000_000_000, u64::MAX >> 1, u64::MAX, any]);
        let sources = Some(SourceLengths { v4: 32, v6: 64 });
        if let Some(limit) = Limit::new(count, per, burst, Measure::Packets, sources) {
            return limit;
        }
    }
}

/// Nothing, a token's worth, a bucket's worth, or one nanosecond beside it; or for ever.
fn wait(random: &mut Random, limit: &Limit) -> u64 {
    let token = limit.per.div_ceil(limit.count);
    let at = random.pick(&[0, 0, 1, token, token, limit.fill, limit.fill / 2, u64::MAX >> 2]);
    let beside = random.pick(&[0, 0, 1, u64::MAX]);
    at.saturating_add(if beside == u64::MAX { 0 } else { beside })
        .saturating_sub(u64::from(beside == u64::MAX))
}

/// The bucket of the textbook, with numbers that cannot overflow.
struct Model {
    credits: u128,
    at: u64,
}

impl Model {
    fn spend(&mut self, limit: &Limit, now: u64, tokens: u64) -> bool {
        let full = u128::from(limit.burst) * u128::from(limit.per);
        let earned = u128::from(now - self.at) * u128::from(limit.count);
        self.credits = full.min(self.credits + earned);
        self.at = now;
        let cost = u128::from(tokens) * u128::from(limit.per);
        let there = self.credits >= cost;
        if there {
            self.credits -= cost;
        }
        there
    }
}

/// A bucket that threads share.
struct Atomic([AtomicU64; 2]);

impl Atomic {
    fn of(record: BucketRecord) -> Self {
        Self(record.map(AtomicU64::new))
    }

    fn record(&self) -> BucketRecord {
        self.0.each_ref().map(|word| word.load(Ordering::Relaxed))
    }

    fn swap(&self, index: usize, old: u64, new: u64) -> bool {
        self.0[index]
            .compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

impl Bucket for Atomic {
    fn last(&self) -> u64 {
        self.0[bucket::LAST].load(Ordering::Relaxed)
    }

    fn credits(&self) -> u64 {
        self.0[bucket::CREDITS].load(Ordering::Relaxed)
    }

    fn move_last(&self, old: u64, new: u64) -> bool {
        self.swap(bucket::LAST, old, new)
    }

    fn move_credits(&self, old: u64, new: u64) -> bool {
        self.swap(bucket::CREDITS, old, new)
    }
}

const _: () = assert!(LimitTables::ALL.len() == 4);

const ROUNDS: usize = 20_000;
const STEPS: usize = 20;
const THREADS: usize = 4;
const PACKETS: usize = 200_000;
/// Nanoseconds between two packets.
const STEP: u64 = 97;
const ROOM: usize = 64;
const KNOWN: u32 = 0x0a00_0001;
const FIRST: u32 = 0x0b00_0001;
