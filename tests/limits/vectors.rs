//! Worked examples of other gateways, and what the same traffic gets here. `docs/limits.md` explains the differences.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ravelin_daemon::metrics::EdgeMetrics;
use ravelin_daemon::metrics::labels::Refusal;
use ravelin_daemon::transport::limit::{Limiter, Place, Rates, SourceSlot, Terms, Turn};
use ravelin_rules::policy::{DelayQueue, OverLimit, Quota, Rate};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn limiter(count: u64, burst: u32, epoch: Instant) -> Arc<Limiter> {
    let per = Duration::from_secs(1);
    let rates = Rates {
        connections: Some(Quota {
            rate: Rate { count, per },
            burst,
        }),
        per_network: None,
        handshakes: None,
        network: None,
        max_sources: 10,
    };
    let shared = EdgeMetrics::new()
        .expect("metrics")
        .listener("test")
        .limiter_shared;
    Limiter::new(rates, shared, epoch)
}

fn delay(max: u64) -> Terms {
    let max = Duration::from_millis(max);
    Terms {
        per_source: None,
        per_network: None,
        over: OverLimit::Delay(DelayQueue { max, queue: 1_000 }),
        observe: false,
    }
}

/// When each arrival goes on, in milliseconds; `None`: refused. All are of one source.
fn here(count: u64, burst: u32, max: u64, arrivals: &[u64]) -> Vec<Option<u64>> {
    let epoch = Instant::now();
    let limiter = limiter(count, burst, epoch);
    let mut line: Vec<(usize, Place, SourceSlot)> = Vec::new();
    let mut open = Vec::new();
    let mut gone_on = vec![None; arrivals.len()];
    let mut clock = |now: u64, line: &mut Vec<(usize, Place, SourceSlot)>, gone_on: &mut Vec<Option<u64>>| {
        while let Some(turn) = line.first().and_then(|(_, place, _)| place.turn()) {
            let turn = u64::try_from(turn.duration_since(epoch).as_millis()).expect("small");
            if turn > now {
                break;
            }
            let (number, place, slot) = line.remove(0);
            place
                .take_turn(&slot, epoch + Duration::from_millis(turn))
                .expect("no other limit");
            gone_on[number] = Some(turn);
            open.push(slot);
        }
    };
    let mut held = Vec::new();
    for (number, now) in arrivals.iter().copied().enumerate() {
        clock(now, &mut line, &mut gone_on);
        match limiter.judge(CLIENT, delay(max), epoch + Duration::from_millis(now)) {
            Ok(Turn::Now(slot)) => {
                gone_on[number] = Some(now);
                held.push(slot);
            }
            Ok(Turn::InLine(place, slot)) => line.push((number, place, slot)),
            Ok(Turn::WouldWait(_)) => panic!("nothing is only observed"),
            Err(refused) => assert_eq!(refused.check, Refusal::DelayTooLong),
        }
    }
    clock(u64::MAX / 2_000_000, &mut line, &mut gone_on);
    gone_on
}

/// MuleSoft's Spike Control: a window that slides, and who is over it asks again after a fixed delay, so many times.
fn spike_control(window: u64, most: usize, delay: u64, attempts: u32, arrivals: &[u64]) -> Vec<Option<u64>> {
    let mut events: Vec<(u64, usize, u32)> = arrivals
        .iter()
        .copied()
        .enumerate()
        .map(|(number, at)| (at, number, attempts))
        .collect();
    let mut passed: Vec<u64> = Vec::new();
    let mut gone_on = vec![None; arrivals.len()];
    while !events.is_empty() {
        events.sort_unstable();
        let (now, number, left) = events.remove(0);
        if passed.iter().filter(|at| **at + window > now).count() < most {
            passed.push(now);
            gone_on[number] = Some(now);
        } else if left > 0 {
            events.push((now + delay, number, left - 1));
        }
    }
    gone_on
}

/// The most that went on in any second.
fn most_in_a_second(gone_on: &[Option<u64>]) -> usize {
    let at: Vec<u64> = gone_on.iter().flatten().copied().collect();
    let within = |from: u64| at.iter().filter(|at| (from..from + 1_000).contains(*at)).count();
    at.iter().map(|from| within(*from)).max().unwrap_or(0)
}

#[test]
fn spike_controls_example_and_the_same_arrivals_here() {
    // Window 1 s, 2 requests, delay 499 ms, 1 attempt: #1 and #2 pass, #3 and #4 wait; #3 passes when #1 has aged out, #4 is rejected
    // because #2 and #3 are in the window; #5 comes when #2 has aged out.
    let arrivals = [0, 600, 700, 800, 1_700];
    assert_eq!(
        spike_control(1_000, 2, 499, 1, &arrivals),
        [Some(0), Some(600), Some(1_199), None, Some(1_700)]
    );
    // `rate = "2/s", burst = 2`, `delay.max = "499ms"`: a bucket that was full and has filled up since. Nobody waits longer than needed, and
    // who waits has the next token for sure.
    let ours = here(2, 2, 499, &arrivals);
    assert_eq!(ours, [Some(0), Some(600), Some(700), Some(1_100), Some(1_700)]);
    assert_eq!(
        most_in_a_second(&ours),
        3,
        "burst + rate × time, not what a window holds"
    );
    // `burst = 1` is as strict as the window: no second has more than two.
    let strict = here(2, 1, 499, &arrivals);
    assert_eq!(strict, [Some(0), Some(600), Some(1_100), None, Some(1_700)]);
    assert_eq!(most_in_a_second(&strict), 2);
}

#[test]
fn limit_conns_example_has_the_same_outcome_here() {
    // APISIX: conn 5, burst 3, delay 1 s: the 6th waits 1 s, the 7th 2 s, the 8th 3 s, the 9th is refused. There the delay grows with the connections that are
    // open, here with those before it: `rate = "1/s", burst = 5`, `delay.max = "3s"`.
    let ours = here(1, 5, 3_000, &[0; 9]);
    assert_eq!(ours[..5], [Some(0); 5]);
    assert_eq!(ours[5..], [Some(1_000), Some(2_000), Some(3_000), None]);
}
