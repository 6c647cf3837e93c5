//! The limiter by itself, with a clock of the test's own.

use std::net::Ipv4Addr;

use ravelin_rules::policy::Rate;

use super::*;
use crate::metrics::labels::Offence;

fn limiter(count: u64, burst: u32, max_sources: u32) -> (Arc<Limiter>, Instant) {
    let epoch = Instant::now();
    let rates = Rates {
        connections: Some(quota(count, burst)),
        max_sources,
        ..NO_RATES
    };
    (Limiter::new(rates, shared(), epoch), epoch)
}

fn quota(count: u64, burst: u32) -> Quota {
    let per = Duration::from_secs(1);
    Quota {
        rate: Rate { count, per },
        burst,
    }
}

fn shared() -> IntCounter {
    IntCounter::new("shared_total", "Judged by the shared bucket.").unwrap()
}

const NO_RATES: Rates = Rates {
    connections: None,
    per_network: None,
    handshakes: None,
    network: None,
    max_sources: 100,
};

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(number))
}

const REFUSE: Terms = Terms {
    per_source: None,
    per_network: None,
    over: OverLimit::Refuse,
    observe: false,
};

#[test]
fn a_source_over_its_rate_is_refused_and_another_is_not() {
    let (limiter, now) = limiter(1, 2, 100);
    for _ in 0..2 {
        assert!(matches!(limiter.judge(address(1), REFUSE, now), Ok(Turn::Now(_))));
    }
    assert_eq!(
        limiter.judge(address(1), REFUSE, now).unwrap_err().check,
        Refusal::Rate
    );
    assert!(matches!(limiter.judge(address(2), REFUSE, now), Ok(Turn::Now(_))));
    assert!(matches!(
        limiter.judge(address(1), REFUSE, now + Duration::from_secs(1)),
        Ok(Turn::Now(_))
    ));
}

#[test]
fn open_connections_are_capped_per_source_and_a_closed_one_makes_room() {
    let (limiter, now) = limiter(1000, 1000, 100);
    let terms = Terms {
        per_source: Some(1),
        ..REFUSE
    };
    let first = limiter.judge(address(1), terms, now).unwrap();
    assert_eq!(
        limiter.judge(address(1), terms, now).unwrap_err().check,
        Refusal::SourceConnections
    );
    assert!(limiter.judge(address(2), terms, now).is_ok());
    drop(first);
    assert!(limiter.judge(address(1), terms, now).is_ok());
}

fn delayed(max: Duration, queue: u32) -> Terms {
    Terms {
        over: OverLimit::Delay(DelayQueue { max, queue }),
        ..REFUSE
    }
}

fn in_line(limiter: &Arc<Limiter>, terms: Terms, now: Instant) -> (Place, SourceSlot) {
    match limiter.judge(address(1), terms, now).unwrap() {
        Turn::InLine(place, slot) => (place, slot),
        turn => panic!("{turn:?}"),
    }
}

#[test]
fn delayed_connections_get_one_turn_each_and_the_queue_is_bounded() {
    let (limiter, now) = limiter(10, 1, 100);
    let terms = delayed(Duration::from_millis(600), 5);
    let _first = limiter.judge(address(1), terms, now).unwrap();
    let mut line: Vec<_> = (0..5).map(|_| in_line(&limiter, terms, now)).collect();
    assert_eq!(limiter.waiting(), 5);
    let refused = |terms| limiter.judge(address(1), terms, now).unwrap_err().check;
    assert_eq!(refused(terms), Refusal::QueueFull);
    // Six turns: the sixth would come at 600 ms.
    assert_eq!(
        refused(delayed(Duration::from_millis(599), 6)),
        Refusal::DelayTooLong
    );
    let at = |millis| now + Duration::from_millis(millis);
    let turns = |line: &[(Place, SourceSlot)]| line.iter().map(|(place, _)| place.turn()).collect::<Vec<_>>();
    assert_eq!(turns(&line)[..2], [Some(at(100)), None]);
    // Whoever leaves from the middle, those behind move forward.
    drop(line.remove(2));
    drop(line.remove(0));
    assert_eq!(limiter.waiting(), 3);
    for turn in 1..=3 {
        assert_eq!(line[0].0.turn(), Some(at(100 * turn)));
        let (place, slot) = line.remove(0);
        assert_eq!(place.take_turn(&slot, at(100 * turn - 1)), Err(NoTurn::NotYet));
        if let Some((next, slot)) = line.first() {
            assert_eq!(next.take_turn(slot, at(100 * turn)), Err(NoTurn::NotYet));
        }
        assert_eq!(place.take_turn(&slot, at(100 * turn)), Ok(()));
    }
    assert_eq!(limiter.waiting(), 0);
    assert!(matches!(
        limiter.judge(address(1), terms, at(400)),
        Ok(Turn::Now(_))
    ));
}

#[test]
fn nobody_overtakes_one_who_is_late_to_take_its_turn() {
    let (limiter, now) = limiter(10, 1, 100);
    let terms = delayed(Duration::from_secs(1), 5);
    let _first = limiter.judge(address(1), terms, now).unwrap();
    let (place, slot) = in_line(&limiter, terms, now);
    let late = now + Duration::from_millis(250);
    let (behind, _behind) = in_line(&limiter, terms, late);
    assert_eq!(place.take_turn(&slot, late), Ok(()));
    drop(place);
    assert_eq!(behind.turn(), Some(late + Duration::from_millis(100)));
}

#[test]
fn what_one_limit_refuses_takes_nothing_from_another() {
    let now = Instant::now();
    let rates = Rates {
        connections: Some(quota(1, 3)),
        per_network: Some(quota(1, 5)),
        handshakes: Some(HandshakeLimit {
            quota: quota(1, 6),
            per_source: false,
        }),
        network: Some(SourceLengths { v4: 24, v6: 48 }),
        max_sources: 100,
    };
    let limiter = Limiter::new(rates, shared(), now);
    let judge = |number| {
        limiter
            .judge(address(number), REFUSE, now)
            .map(drop)
            .map_err(|refused| refused.check)
    };
    let other = |number: u32| judge(256 + number);
    // Refused by its own rate, again and again: the network has all it had.
    for _ in 0..3 {
        assert_eq!(judge(1), Ok(()));
    }
    for _ in 0..10 {
        assert_eq!(judge(1), Err(Refusal::Rate));
    }
    assert_eq!([judge(2), judge(2)], [Ok(()), Ok(())]);
    // Refused by the network: neither the source nor the listener pays.
    for _ in 0..10 {
        assert_eq!(judge(2), Err(Refusal::NetworkRate));
    }
    assert_eq!(other(1), Ok(()));
    // Refused by the listener: the sources have all they had a second later.
    for _ in 0..10 {
        assert_eq!(other(2), Err(Refusal::HandshakeRate));
        assert_eq!(other(3), Err(Refusal::HandshakeRate));
    }
    let later = now + Duration::from_secs(6);
    for _ in 0..3 {
        assert!(limiter.judge(address(258), REFUSE, later).is_ok());
    }
}

#[test]
fn a_turn_that_another_limit_refuses_is_the_next_ones() {
    let now = Instant::now();
    let rates = Rates {
        connections: Some(quota(10, 1)),
        handshakes: Some(HandshakeLimit {
            quota: quota(1, 1),
            per_source: true,
        }),
        ..NO_RATES
    };
    let limiter = Limiter::new(rates, shared(), now);
    let terms = delayed(Duration::from_secs(2), 10);
    let _first = limiter.judge(address(1), terms, now).unwrap();
    let (place, slot) = in_line(&limiter, terms, now);
    let (next, next_slot) = in_line(&limiter, terms, now);
    let at = |millis| now + Duration::from_millis(millis);
    let refused = Refused::by_account(Refusal::HandshakeRate, false, false);
    assert_eq!(place.take_turn(&slot, at(100)), Err(NoTurn::Refused(refused)));
    drop((place, slot));
    assert_eq!(next.turn(), Some(at(100)), "the turn was not used up");
    assert_eq!(next.take_turn(&next_slot, at(1_000)), Ok(()));
}

#[test]
fn connections_at_once_are_capped_per_network_and_nobody_is_to_blame() {
    let now = Instant::now();
    let rates = Rates {
        network: Some(SourceLengths { v4: 24, v6: 48 }),
        ..NO_RATES
    };
    let limiter = Limiter::new(rates, shared(), now);
    let terms = Terms {
        per_network: Some(3),
        ..REFUSE
    };
    let mut open: Vec<_> = (0..3)
        .map(|number| limiter.judge(address(number), terms, now).unwrap())
        .collect();
    let refused = limiter.judge(address(7), terms, now).unwrap_err();
    assert_eq!(
        (refused.check, refused.offence),
        (Refusal::NetworkConnections, None)
    );
    assert!(limiter.judge(address(256), terms, now).is_ok());
    open.pop();
    assert!(limiter.judge(address(7), terms, now).is_ok());
}

#[test]
fn what_is_only_observed_waits_for_nobody_and_takes_the_same_turns() {
    let (limiter, now) = limiter(10, 1, 100);
    let terms = Terms {
        observe: true,
        ..delayed(Duration::from_millis(200), 5)
    };
    let judge = |millis| limiter.judge(address(1), terms, now + Duration::from_millis(millis));
    assert!(matches!(judge(0), Ok(Turn::Now(_))));
    assert!(matches!(judge(0), Ok(Turn::WouldWait(_))));
    assert!(matches!(judge(0), Ok(Turn::WouldWait(_))));
    assert_eq!(judge(0).unwrap_err().check, Refusal::DelayTooLong);
    assert!(matches!(judge(100), Ok(Turn::WouldWait(_))));
    assert!(matches!(judge(400), Ok(Turn::Now(_))));
    assert_eq!(limiter.waiting(), 0);
}

#[test]
fn newcomers_to_a_full_table_share_one_bucket_and_one_count() {
    let (limiter, now) = limiter(1, 2, 4);
    let terms = Terms {
        per_source: Some(3),
        ..REFUSE
    };
    let held: Vec<_> = (0..4)
        .map(|number| limiter.judge(address(number), terms, now).unwrap())
        .collect();
    let _fifth = limiter.judge(address(5), terms, now).unwrap();
    let _sixth = limiter.judge(address(6), terms, now).unwrap();
    assert_eq!(
        limiter.judge(address(7), terms, now).unwrap_err().check,
        Refusal::Rate
    );
    assert_eq!(limiter.sources.judged_by_shared(), 3);
    let _known = limiter
        .judge(address(0), terms, now)
        .expect("a source with an entry does not notice");
    // Room again: a newcomer gets an entry, but not a second burst.
    drop(held);
    let later = now + Duration::from_millis(1500);
    assert!(limiter.judge(address(5), terms, later).is_ok());
    assert_eq!(
        limiter.judge(address(5), terms, later).unwrap_err().check,
        Refusal::Rate
    );
    assert_eq!(limiter.sources.judged_by_shared(), 3);
}

#[test]
fn a_source_is_to_blame_for_its_own_bucket_and_not_for_what_others_took_from_a_shared_one() {
    let (limiter, now) = limiter(1, 2, 4);
    let later = |millis| now + Duration::from_millis(millis);
    let refused = |number, at| limiter.judge(address(number), REFUSE, at).unwrap_err();
    let spend = |numbers: std::ops::Range<u32>, at| {
        for number in numbers {
            drop(limiter.judge(address(number), REFUSE, at).unwrap());
        }
    };
    // Twice each is what a source may.
    spend(0..4, now);
    spend(0..4, now);
    assert_eq!(refused(0, now).offence, Some(Offence::Rate));
    // The table is full: two newcomers empty the shared bucket, and the third finds it so.
    spend(5..7, now);
    let third = refused(7, now);
    assert_eq!((third.check, third.offence), (Refusal::Rate, None));
    // Until that is paid, a source of the same table may owe what is not its own: one with an entry too.
    assert_eq!(refused(0, later(10)).offence, None);
    // There is room again at 2 s, and the debt is paid at the same moment.
    spend(7..8, later(2_000));
    spend(7..8, later(2_000));
    assert_eq!(refused(7, later(2_000)).offence, Some(Offence::Rate));
}
