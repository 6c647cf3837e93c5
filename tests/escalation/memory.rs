//! The bound on the memory of a listener's book, which the documentation states.

use std::net::{IpAddr, Ipv6Addr};

use ravelin_daemon::transport::escalation::{Book, Judgement};
use ravelin_daemon::transport::limit::Source;
use ravelin_tests::resident::resident_bytes;

/// What `docs/bans.md` says of a whole book.
const BOUND: usize = 64 << 20;

/// An eighth of a book shows it as well.
const PART: usize = 8;

#[test]
fn a_full_book_stays_under_the_stated_bound_and_takes_no_newcomer() {
    let most = u32::try_from(Book::MOMENTS / Book::SOURCES).expect("small");
    assert_eq!(Book::new(most, 1).capacity(), Book::SOURCES);
    assert_eq!(Book::new(1_000, 1).capacity(), Book::MOMENTS / 1_000);
    let sources = Book::SOURCES / PART;
    let before = resident_bytes();
    let mut book = Book::with_capacity(most, u64::MAX, sources);
    // One less than gets anybody banned, of everybody.
    for moment in 1..u64::from(most) {
        for number in 0..sources {
            assert_eq!(book.offence(source(number), moment), Judgement::Counted);
        }
    }
    for number in sources..sources * 3 {
        assert_eq!(book.offence(source(number), 100), Judgement::NoRoom);
    }
    let grown = resident_bytes().saturating_sub(before);
    eprintln!("{} KiB for {sources} sources of {most} offences", grown >> 10);
    assert!(grown <= BOUND / PART, "{grown} bytes");
    assert_eq!(book.sources(), sources);
}

/// One /64 each.
fn source(number: usize) -> Source {
    let bits = 0x2001_0db8 << 96 | u128::try_from(number).expect("small") << 64 | 1;
    Source::of(IpAddr::V6(Ipv6Addr::from_bits(bits)))
}
