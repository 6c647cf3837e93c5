//! The book of offences against a model that remembers everything and counts anew each time, with a clock of our own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ravelin_daemon::transport::escalation::{Book, Judgement};
use ravelin_daemon::transport::limit::Source;
use ravelin_tests::random::Random;

/// What the book must do, said in another way: all offences of a source, of which those in the window are counted.
struct Model {
    offences: usize,
    window: u64,
    capacity: usize,
    latest: u64,
    sources: BTreeMap<Source, Known>,
}

enum Known {
    Offended(Vec<u64>),
    Asked(Vec<u64>),
    LeftAlone(u64),
}

impl Model {
    fn offence(&mut self, source: Source, now: u64) -> Judgement {
        let now = self.latest.max(now);
        self.latest = now;
        let window = self.window;
        self.sources.retain(|_, known| match known {
            Known::Offended(all) => all.iter().any(|at| now - at <= window),
            Known::Asked(_) => true,
            Known::LeftAlone(end) => *end > now,
        });
        if !self.sources.contains_key(&source) && !self.makes_room() {
            return Judgement::NoRoom;
        }
        let known = self.sources.entry(source).or_insert(Known::Offended(Vec::new()));
        let Known::Offended(all) = known else {
            return Judgement::Known;
        };
        all.push(now);
        if all.iter().filter(|at| now - **at <= window).count() < self.offences {
            return Judgement::Counted;
        }
        *known = Known::Asked(std::mem::take(all));
        Judgement::Ban
    }

    /// Room for one more source, if need be that of the one whose rest ends first.
    fn makes_room(&mut self) -> bool {
        if self.sources.len() < self.capacity {
            return true;
        }
        let rests = self.sources.iter().filter_map(|(source, known)| match known {
            Known::LeftAlone(end) => Some((*end, *source)),
            _ => None,
        });
        let Some((_, first)) = rests.min() else {
            return false;
        };
        self.sources.remove(&first);
        true
    }

    fn answered(&mut self, source: Source, end: u64) {
        self.sources.insert(source, Known::LeftAlone(end));
    }

    fn lost(&mut self, source: Source) {
        if let Some(Known::Asked(all)) = self.sources.remove(&source) {
            self.sources.insert(source, Known::Offended(all));
        }
    }
}

fn source(number: u64) -> Source {
    let number = u32::try_from(number).expect("small");
    Source::of(IpAddr::V4(Ipv4Addr::from_bits(0xc633_6400 + number)))
}

#[test]
fn random_offences_answers_and_losses_are_judged_as_the_model_judges_them() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let offences = 1 + random.below(6);
        // Small enough that moments fall on the window's edge, and to the nanosecond beside it.
        let window = random.below(40);
        let capacity = 1 + random.below(8);
        let many = 1 + random.below(12);
        let capacity = usize::try_from(capacity).expect("small");
        let mut book = Book::with_capacity(u32::try_from(offences).expect("small"), window, capacity);
        let mut model = Model {
            offences: usize::try_from(offences).expect("small"),
            window,
            capacity,
            latest: 0,
            sources: BTreeMap::new(),
        };
        let mut asked: Vec<Source> = Vec::new();
        let mut now = 0;
        for step in 0..2_000 {
            now += match random.below(10) {
                0..4 => 0,
                4..9 => random.below(8),
                _ => random.below(200),
            };
            if !asked.is_empty() && random.chance(20) {
                let source = asked.swap_remove(random.index(asked.len()));
                if random.chance(50) {
                    book.lost(source);
                    model.lost(source);
                } else {
                    let end = now + random.below(100);
                    book.answered(source, end);
                    model.answered(source, end);
                }
            }
            let source = source(random.below(many));
            // A thread that was overtaken comes with an older time.
            let moment = now - random.below(3).min(now);
            let judged = book.offence(source, moment);
            assert_eq!(
                judged,
                model.offence(source, moment),
                "seed {seed}, step {step}: {offences} in {window}, {capacity} sources, at {moment}"
            );
            let word = match judged {
                Judgement::Ban => {
                    asked.push(source);
                    "ban"
                }
                Judgement::Counted => "counted",
                Judgement::Known => "known",
                Judgement::NoRoom => "no room",
            };
            *seen.entry(word).or_default() += 1;
            assert!(book.sources() <= capacity, "seed {seed}: over its bound");
        }
    }
    eprintln!("{seen:?}");
    assert!(
        seen.len() == 4 && seen.values().all(|count| *count > 10_000),
        "the sequences do not get everywhere: {seen:?}"
    );
}

#[test]
fn the_window_reaches_to_the_nanosecond_and_slides() {
    let at = |moments: &[u64]| {
        let mut book = Book::new(3, 10);
        let judged = moments.iter().map(|moment| book.offence(source(1), *moment));
        judged.last().expect("an offence")
    };
    assert_eq!(at(&[0, 5, 10]), Judgement::Ban);
    assert_eq!(at(&[0, 5, 11]), Judgement::Counted);
    // No boundary of a window that stands still is in the way: two late, one right behind.
    assert_eq!(at(&[0, 9, 11, 19]), Judgement::Ban);
    assert_eq!(at(&[0, 9, 11, 20]), Judgement::Counted);
    assert_eq!(at(&[0, 0, 0]), Judgement::Ban);
}

#[test]
fn one_offence_may_be_too_many_and_neighbours_are_not_counted_together() {
    let mut book = Book::new(1, 0);
    assert_eq!(book.offence(source(1), 7), Judgement::Ban);
    let mut book = Book::new(2, 1_000);
    assert_eq!(book.offence(source(1), 1), Judgement::Counted);
    assert_eq!(book.offence(source(2), 1), Judgement::Counted);
    assert_eq!(book.offence(source(1), 1), Judgement::Ban);
}
