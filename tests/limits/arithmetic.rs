//! The gate against a model that counts tokens, with a clock of our own; and on several threads, with the real one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ravelin_daemon::metrics::EdgeMetrics;
use ravelin_daemon::metrics::labels::Refusal;
use ravelin_daemon::transport::limit::{
    AddressRanges, Admission, Entrant, Gate, Limiter, NoEntry, Permit, Rates, Terms, Total, Turn, Waiting,
};
use ravelin_datapath::wire::SourceLengths;
use ravelin_rules::policy::{AddressMatch, DelayQueue, HandshakeLimit, OverLimit, PrefixSet, Quota, Rate};
use ravelin_tests::random::Random;

use crate::model::{Account, Bucket, Model};

const SOURCES: usize = 12;
const NETWORKS: usize = 4;
const LISTENER: usize = SOURCES + NETWORKS;

/// What a case limits.
#[derive(Clone, Debug)]
struct Case {
    rates: Rates,
    terms: Terms,
    total: u32,
}

impl Case {
    fn random(numbers: &mut Random) -> Self {
        let quota = |numbers: &mut Random, most: u64| {
            let per = Duration::from_secs([1, 60][index(numbers, 2)]);
            let count = [1, 3, 7, 50, 999, 1_000_000][index(numbers, 6)];
            let burst = 1 + u32::try_from(numbers.below(most)).expect("small");
            Quota {
                rate: Rate { count, per },
                burst,
            }
        };
        let connections = (numbers.below(10) > 0).then(|| quota(numbers, 12));
        // The others in the neighbourhood of the first, so that each of them bites now and then.
        let base = connections.unwrap_or_else(|| quota(numbers, 12));
        let wider = |numbers: &mut Random| {
            let mut quota = base;
            quota.rate.count = quota.rate.count * (1 + numbers.below(4)) + numbers.below(3);
            quota.burst = 1 + u32::try_from(numbers.below(24)).expect("small");
            quota
        };
        let per_network = (numbers.below(2) > 0).then(|| wider(numbers));
        let handshakes = (numbers.below(3) > 0).then(|| HandshakeLimit {
            quota: wider(numbers),
            per_source: numbers.below(2) > 0,
        });
        let cap = |numbers: &mut Random, most| {
            (numbers.below(3) == 0).then(|| 1 + u32::try_from(numbers.below(most)).expect("small"))
        };
        let period = base.rate.per / u32::try_from(base.rate.count).expect("small");
        let queue = DelayQueue {
            max: period * u32::try_from(1 + numbers.below(9)).expect("small"),
            queue: 1 + u32::try_from(numbers.below(30)).expect("small"),
        };
        let delays = numbers.below(3) > 0;
        Self {
            rates: Rates {
                connections,
                per_network,
                handshakes,
                network: Some(SourceLengths { v4: 24, v6: 48 }),
                max_sources: 1_000,
            },
            terms: Terms {
                per_source: cap(numbers, 12),
                per_network: cap(numbers, 10),
                over: if delays {
                    OverLimit::Delay(queue)
                } else {
                    OverLimit::Refuse
                },
                observe: false,
            },
            total: 10 + u32::try_from(numbers.below(60)).expect("small"),
        }
    }

    fn gate(&self, epoch: Instant) -> Gate {
        let metrics = EdgeMetrics::new().expect("metrics").listener("test");
        Gate {
            trusted_proxies: None,
            allow: AddressRanges::compile(&AddressMatch::default()),
            deny: AddressRanges::compile(&AddressMatch::among(PrefixSet::default())),
            total: Total::new(metrics.open),
            total_cap: self.total,
            sources: Some((
                Limiter::new(self.rates, metrics.limiter_shared, epoch),
                self.terms,
            )),
        }
    }

    fn model(&self) -> Model {
        let bucket = |quota: Quota, refusal| {
            let period = quota.rate.per.as_nanos().div_ceil(quota.rate.count.into());
            let full = u128::from(quota.burst) * period;
            Bucket {
                period,
                full,
                level: full,
                at: 0,
                refusal,
            }
        };
        let handshakes = |per_source| {
            let limit = self
                .rates
                .handshakes
                .filter(|limit| limit.per_source == per_source);
            limit.map(|limit| bucket(limit.quota, Refusal::HandshakeRate))
        };
        let connections = self.rates.connections.map(|quota| bucket(quota, Refusal::Rate));
        let per_network = self
            .rates
            .per_network
            .map(|quota| bucket(quota, Refusal::NetworkRate));
        let account = |buckets: Vec<Bucket>, cap: Option<u32>, refusal| Account {
            buckets,
            cap: cap.map(|cap| (cap, refusal)),
            ..Account::default()
        };
        let of_source = connections.into_iter().chain(handshakes(true)).collect();
        let source = account(of_source, self.terms.per_source, Refusal::SourceConnections);
        let network = per_network.into_iter().collect();
        let network = account(network, self.terms.per_network, Refusal::NetworkConnections);
        let all = handshakes(false).into_iter().collect();
        let mut accounts = vec![source; SOURCES];
        accounts.extend(vec![network; NETWORKS]);
        accounts.push(account(all, Some(self.total), Refusal::TotalConnections));
        Model {
            accounts,
            delay: match self.terms.over {
                OverLimit::Delay(queue) => Some((queue.max.as_nanos(), queue.queue as usize)),
                OverLimit::Refuse => None,
            },
            waiting: 0,
        }
    }
}

fn index(numbers: &mut Random, below: usize) -> usize {
    usize::try_from(numbers.below(below as u64)).expect("small")
}

/// The numbers of its accounts in the model: three sources share a network, two networks are of each family.
fn accounts(source: usize) -> [usize; 3] {
    [source, SOURCES + source % NETWORKS, LISTENER]
}

fn address(source: usize) -> IpAddr {
    let (network, host) = ((source % NETWORKS) as u128, (source / NETWORKS) as u128);
    if network < 2 {
        let bits = 0xc633_6400 + (network << 8) + host + 1;
        return Ipv4Addr::from_bits(u32::try_from(bits).expect("small")).into();
    }
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | network << 80 | host << 64 | 1).into()
}

/// The gate and the model, and what both have let in.
struct Run {
    gate: Gate,
    model: Model,
    epoch: Instant,
    now: u64,
    open: Vec<(usize, Permit)>,
    waiting: Vec<(usize, usize, Waiting)>,
    refused: Vec<Refusal>,
    served: usize,
    turns: usize,
    left: usize,
}

impl Run {
    fn at(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.now)
    }

    fn arrive(&mut self, id: usize, source: usize) {
        let expected = self.model.arrive(id, accounts(source), self.now.into());
        let judged = self.gate.enter(address(source), self.at(), 0);
        let judged = judged.map(|entrant| match entrant {
            Entrant::Client(admission) => admission,
            Entrant::Proxy(_) => panic!("nobody is a proxy"),
        });
        let said = match &judged {
            Ok(Admission::Now(_)) => Ok(true),
            Ok(Admission::Wait(_)) => Ok(false),
            Ok(Admission::Observed(..)) => panic!("nothing is only observed"),
            Err(refused) => Err(refused.check),
        };
        assert_eq!(said, expected, "arrival {id} of source {source} at {}", self.now);
        match judged {
            Ok(Admission::Now(permit)) => self.serve(source, permit),
            Ok(Admission::Wait(waiting)) => self.waiting.push((id, source, waiting)),
            Err(refused) => self.refused.push(refused.check),
            Ok(Admission::Observed(..)) => {}
        }
    }

    fn serve(&mut self, source: usize, permit: Permit) {
        self.served += 1;
        self.open.push((source, permit));
    }

    /// Somebody in line, the first or not, asks for its turn.
    fn ask(&mut self, number: usize) -> bool {
        let (id, source, waiting) = self.waiting.remove(number);
        let expected = self.model.turn(id, accounts(source), self.now.into());
        match (waiting.take_turn(self.at()), expected) {
            (Err(NoEntry::NotYet(waiting)), None) => {
                self.waiting.insert(number, (id, source, waiting));
                return false;
            }
            (Ok(permit), Some(Ok(()))) => self.serve(source, permit),
            (Err(NoEntry::Refused(refused)), Some(Err(refusal))) => {
                assert_eq!(refused.check, refusal, "turn of {id} at {}", self.now);
                self.model.close(accounts(source));
                self.refused.push(refusal);
            }
            (said, expected) => panic!("turn of {id} at {}: {said:?}, not {expected:?}", self.now),
        }
        self.turns += 1;
        true
    }

    /// The moment of the next turn.
    fn next_turn(&self) -> Option<u64> {
        let turns = self.waiting.iter().filter_map(|(_, _, waiting)| waiting.turn());
        turns
            .min()
            .map(|turn| u64::try_from(turn.duration_since(self.epoch).as_nanos()).expect("small"))
    }

    fn step(&mut self, id: usize, step: u64, numbers: &mut Random) {
        match (numbers.below(10), self.next_turn()) {
            // To the very moment of a turn: not a nanosecond earlier.
            (0..4, Some(turn)) if turn > self.now && turn - self.now < 20 * step => {
                self.now = turn - 1;
                for number in 0..self.waiting.len() {
                    assert!(!self.ask(number), "a turn before its time");
                }
                self.now = turn;
            }
            (4..9, _) => self.now += numbers.below(step),
            (9, _) => self.now += numbers.below(step * 20),
            _ => {}
        }
        // In the order of joining, so that who becomes the first is asked too; now and then everybody is late.
        if numbers.below(8) > 0 {
            let mut number = 0;
            while number < self.waiting.len() {
                number += usize::from(!self.ask(number));
            }
        }
        if !self.waiting.is_empty() && numbers.below(6) == 0 {
            let (id, source, waiting) = self.waiting.remove(index(numbers, self.waiting.len()));
            self.model.leave(id, accounts(source));
            self.model.close(accounts(source));
            drop(waiting);
            self.left += 1;
        }
        while !self.open.is_empty() && numbers.below(10) < 6 {
            let (source, permit) = self.open.swap_remove(index(numbers, self.open.len()));
            self.model.close(accounts(source));
            drop(permit);
        }
        let source = index(numbers, SOURCES);
        self.arrive(id, source);
    }
}

#[test]
fn a_million_random_arrivals_are_judged_as_the_model_judges_them() {
    let mut numbers = Random::new(25);
    let (mut seen, mut served, mut turns, mut left) = (Vec::new(), 0, 0, 0);
    for case in 0..CASES {
        let limits = Case::random(&mut numbers);
        let epoch = Instant::now();
        let mut run = Run {
            gate: limits.gate(epoch),
            model: limits.model(),
            epoch,
            now: 0,
            open: Vec::new(),
            waiting: Vec::new(),
            refused: Vec::new(),
            served: 0,
            turns: 0,
            left: 0,
        };
        let period = run.model.accounts[0]
            .buckets
            .first()
            .map_or(1_000_000, |bucket| bucket.period);
        // All sources together want some times what they may.
        let step = u64::try_from(period).expect("small") / SOURCES as u64 / (1 + numbers.below(3)) + 2;
        eprintln!("case {case}: {limits:?}");
        for id in 0..1_000_000 / CASES {
            run.step(id, step, &mut numbers);
        }
        seen.extend(run.refused);
        (served, turns, left) = (served + run.served, turns + run.turns, left + run.left);
    }
    eprintln!(
        "{served} served, {turns} of them after a wait, {left} left a line, {} refused",
        seen.len()
    );
    assert!(
        served > 100_000 && turns > 20_000 && left > 10_000,
        "limits that bite, and not all"
    );
    for refusal in [
        Refusal::DelayTooLong,
        Refusal::HandshakeRate,
        Refusal::NetworkConnections,
        Refusal::NetworkRate,
        Refusal::QueueFull,
        Refusal::Rate,
        Refusal::SourceConnections,
        Refusal::TotalConnections,
    ] {
        let count = seen.iter().filter(|seen| **seen == refusal).count();
        assert!(count > 50, "{refusal:?} came {count} times");
    }
}

const CASES: usize = 100;

const REFUSE: Terms = Terms {
    per_source: None,
    per_network: None,
    over: OverLimit::Refuse,
    observe: false,
};

fn quota(count: u64, burst: u32) -> Quota {
    let per = Duration::from_secs(1);
    Quota {
        rate: Rate { count, per },
        burst,
    }
}

/// So many threads want in all the time; how many got in, and how long it took in nanoseconds, at most.
fn rush(limiter: &Arc<Limiter>, epoch: Instant, threads: usize) -> (u128, u128) {
    let accepted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut accepted = 0;
                    while epoch.elapsed() < Duration::from_millis(500) {
                        let judged = limiter.judge(address(thread % SOURCES), REFUSE, Instant::now());
                        accepted += usize::from(judged.is_ok());
                    }
                    accepted
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum()
    });
    (accepted as u128, epoch.elapsed().as_nanos())
}

#[test]
fn many_threads_get_no_more_than_burst_and_rate_together() {
    let no_rates = Rates {
        connections: None,
        per_network: None,
        handshakes: None,
        network: Some(SourceLengths { v4: 24, v6: 48 }),
        max_sources: 1_000,
    };
    let limit = |per_source| HandshakeLimit {
        quota: quota(200, 20),
        per_source,
    };
    // A bucket of each kind by itself, and how many of them the threads share.
    let cases = [
        (
            Rates {
                connections: Some(quota(200, 20)),
                ..no_rates
            },
            SOURCES,
        ),
        (
            Rates {
                handshakes: Some(limit(true)),
                ..no_rates
            },
            SOURCES,
        ),
        (
            Rates {
                per_network: Some(quota(200, 20)),
                ..no_rates
            },
            NETWORKS,
        ),
        (
            Rates {
                handshakes: Some(limit(false)),
                ..no_rates
            },
            1,
        ),
    ];
    for (rates, buckets) in cases {
        let epoch = Instant::now();
        let shared = EdgeMetrics::new()
            .expect("metrics")
            .listener("test")
            .limiter_shared;
        let limiter = Limiter::new(rates, shared, epoch);
        let (accepted, took) = rush(&limiter, epoch, 48);
        let allowed = (20 + took / 5_000_000) * buckets as u128;
        assert!(
            accepted <= allowed,
            "{accepted} accepted, {allowed} allowed: {rates:?}"
        );
        assert!(
            accepted >= 20 * buckets as u128 + 90,
            "{accepted} accepted: {rates:?}"
        );
    }
}

#[test]
fn entries_are_used_again_when_their_buckets_are_full_and_not_before() {
    let shared = EdgeMetrics::new()
        .expect("metrics")
        .listener("test")
        .limiter_shared;
    let epoch = Instant::now();
    let rates = Rates {
        connections: Some(quota(10, 1)),
        per_network: None,
        handshakes: None,
        network: None,
        max_sources: 64,
    };
    let limiter = Limiter::new(rates, shared.clone(), epoch);
    let at = |milliseconds| epoch + Duration::from_millis(milliseconds);
    let address = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(0xc633_6400 + number));
    for number in 0..64 {
        assert!(matches!(
            limiter.judge(address(number), REFUSE, at(0)),
            Ok(Turn::Now(_))
        ));
    }
    assert_eq!(shared.get(), 0);
    assert!(
        limiter.judge(address(64), REFUSE, at(99)).is_ok(),
        "the shared bucket is full"
    );
    assert_eq!(
        limiter
            .judge(address(65), REFUSE, at(99))
            .expect_err("and now empty")
            .check,
        Refusal::Rate
    );
    assert_eq!(shared.get(), 2);
    for number in 100..164 {
        // Each comes 100 ms and more after the entry it takes was used.
        assert!(limiter.judge(address(number), REFUSE, at(200)).is_ok());
    }
    assert_eq!(shared.get(), 2);
    assert_eq!(limiter.sources(), 64);
}
