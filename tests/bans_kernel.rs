//! The law of bans in the kernel: the loaded program, with maps that the daemon's own code writes, says what the oracle says.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use ipnet::IpNet;
use nix::time::{ClockId, clock_gettime};
use ravelin_daemon::network::bans::never::Never;
use ravelin_daemon::network::bans::{Bans, Refusal, Wish};
use ravelin_datapath::{Origin, Reason};
use ravelin_rules::policy::{Clock, Mode};
use ravelin_rules::reference::{Ban, World};
use ravelin_rules::{Direction, TableImage};
use ravelin_tests::bans::{bans, source};
use ravelin_tests::packet::ether;
use ravelin_tests::prog_run::{self, Bench, Kernel, TestPins};
use ravelin_tests::random::{self, NOW, Random};
use ravelin_tests::{requires, wait};

#[test]
fn the_oracle_and_the_kernel_agree_on_random_bans() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("bans-random");
    let seed = random::seed() ^ 0xba;
    let (pairs, banned, spared) = bench.run(|| {
        let pins = TestPins::new();
        let mut random = Random::new(seed);
        let numbers = prog_run::interfaces();
        let (mut pairs, mut banned, mut spared) = (0, 0, 0);
        for case in random::cases(seed, POLICIES, PACKETS) {
            let policy = case.sketch.load();
            let clock = Clock {
                unix: NOW * 1_000_000_000,
                boot: since_boot(),
            };
            let host = case.sketch.host_with(clock, |at| numbers[at]);
            let image = TableImage::compile(&policy, &host, Direction::Inbound).expect("random policies fit");
            let never = Never::of(&policy);
            let observing = (0..).zip(&policy.rules);
            let observing = observing.filter(|(_, rule)| rule.mode == Mode::Observe);
            let observing = observing.map(|(index, _)| index);
            let mut kernel = Kernel::pinned(&image, observing.collect(), &pins, &never);
            let mut book = Bans::open(pins.pins()).expect("the maps are there");
            let mut near: Vec<IpNet> = policy
                .never_ban
                .elements()
                .iter()
                .map(|element| element.prefix)
                .collect();
            near.extend(
                case.probes
                    .iter()
                    .filter_map(|probe| source(&probe.packet.bytes())),
            );
            let mut live = Vec::new();
            for Ban { prefix, end } in bans(&mut random, &near, 1) {
                let lasts = if end > 2 { HOUR } else { Duration::from_nanos(1) };
                let wish = Wish {
                    prefix,
                    lasts,
                    reason: "law".to_owned(),
                };
                match book.ban(&wish, 0) {
                    // What is over now is over for the oracle too.
                    Ok(()) if lasts == HOUR => live.push(Ban {
                        prefix,
                        end: u64::MAX,
                    }),
                    Ok(()) | Err(Refusal::NeverBan { .. } | Refusal::TooWide { .. }) => {}
                    Err(refusal) => panic!("{refusal}"),
                }
            }
            let world = World::with_bans(live.clone());
            for probe in case
                .probes
                .iter()
                .filter(|probe| probe.direction == Direction::Inbound)
            {
                let bytes = probe.packet.bytes();
                if bytes.len() < 14 {
                    continue;
                }
                let interface = if probe.loopback {
                    1
                } else {
                    numbers[probe.interface.min(host.interfaces.len())]
                };
                let oracle = || {
                    let origin = Origin {
                        loopback: probe.loopback,
                        interface,
                        now: since_boot(),
                        ..Origin::default()
                    };
                    world
                        .clone()
                        .judge(&policy, &host, Direction::Inbound, origin, &bytes)
                };
                let before = oracle();
                let said = kernel.decide_on(&bytes, interface);
                if oracle() != before {
                    continue;
                }
                assert_eq!(
                    before,
                    said,
                    "seed {}, {}: {live:?}\n{}",
                    case.seed,
                    probe.packet,
                    case.sketch.toml()
                );
                pairs += 1;
                banned += u64::from(said.reason == Reason::Ban);
                let covered =
                    source(&bytes).is_some_and(|source| live.iter().any(|ban| ban.prefix.contains(&source)));
                spared += u64::from(covered && matches!(said.reason, Reason::Rule | Reason::Default));
            }
            // Their bits stay until a sweep: the next case runs with half of them.
            for ban in live {
                assert!(book.unban(ban.prefix).expect("unbanned"));
            }
            if random.chance(50) {
                while book.sweep().expect("swept") {}
                assert_eq!(book.count(), 0, "what was over is swept");
            }
        }
        (pairs, banned, spared)
    });
    println!(
        "seed {seed}: {pairs} pairs in the kernel, 0 differences; {banned} banned, {spared} covered and never banned"
    );
    assert!(pairs > 3_000 && banned > 300 && spared > 10);
}

#[test]
fn a_full_table_refuses_and_what_is_in_it_stays() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("bans-full");
    bench.run(|| {
        let pins = TestPins::new();
        let policy = ravelin_rules::load_text("[firewall]\nstateful = false\n")
            .expect("a policy")
            .policy;
        let image = TableImage::compile(&policy, &ravelin_rules::HostFacts::default(), Direction::Inbound)
            .expect("it fits");
        let mut kernel = Kernel::pinned(&image, vec![], &pins, &Never::default());
        let mut book = Bans::open(pins.pins()).expect("the maps are there");
        let wish = |number: u32, lasts| Wish {
            prefix: IpNet::from(std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(
                0x0a00_0000 + number,
            ))),
            lasts,
            reason: String::new(),
        };
        let room = ravelin_datapath::wire::BANS;
        for number in 0..room {
            book.ban(&wish(number, HOUR), 0)
                .unwrap_or_else(|refusal| panic!("ban {number}: {refusal}"));
        }
        let refused = book.ban(&wish(room, HOUR), 0).expect_err("there is no room");
        assert!(matches!(refused, Refusal::Full), "{refused}");
        assert_eq!(
            book.refused().find(|(kind, _)| *kind == "full"),
            Some(("full", 1))
        );
        assert_eq!(book.count(), room);
        // Judged alike before, during and after the walk that gives the filter the size for so many.
        let mut assert_judged = |when: &str| {
            let mut reason = |bits: u32| {
                let frame = ether()
                    .ipv4()
                    .source(std::net::Ipv4Addr::from_bits(bits))
                    .tcp(443)
                    .bytes();
                kernel.decide(&frame, false).reason
            };
            for number in (0..room).step_by(30_011) {
                assert_eq!(reason(0x0a00_0000 + number), Reason::Ban, "{number} {when}");
                assert_eq!(
                    reason(0x0b00_0000 + number * 7),
                    Reason::Default,
                    "{number} {when}"
                );
            }
        };
        assert_judged("before");
        for step in 0..200 {
            assert!(book.sweep().expect("a step"), "{step}");
        }
        assert_judged("half way");
        while book.sweep().expect("a step") {}
        assert_judged("after");
        // Of one that is there, the end may still be moved.
        book.ban(&wish(7, HOUR * 2), 0).expect("it is replaced");
        // A restart finds all of them, and each is listed once.
        drop(book);
        let mut book = Bans::open(pins.pins()).expect("the maps are there");
        assert_eq!(book.count(), room);
        let (mut listed, mut from) = (std::collections::HashSet::new(), None);
        loop {
            let page = book.page(from).expect("a page");
            for ban in page.bans {
                assert!(listed.insert(ban.prefix), "{} is listed twice", ban.prefix);
            }
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(listed.len(), room as usize);
        assert!(book.unban(wish(3, HOUR).prefix).expect("unbanned"));
        book.ban(&wish(room, Duration::from_millis(1)), 0)
            .expect("there is room again");
        // What has ended makes room without a sweep that anybody asked for, and the reason is kept.
        let with_reason = Wish {
            reason: "late".to_owned(),
            ..wish(room + 1, HOUR)
        };
        wait::until("room", Duration::from_secs(30), || book.ban(&with_reason, 0).ok());
        let (found, _) = book.covering(with_reason.prefix.addr()).expect("an answer");
        assert_eq!(found.first().map(|ban| ban.reason.as_str()), Some("late"));
    });
}

fn since_boot() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("a clock");
    let seconds = u64::try_from(time.tv_sec()).expect("after the boot");
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).expect("nanoseconds")
}

const POLICIES: usize = 150;
const PACKETS: usize = 80;
const HOUR: Duration = Duration::from_secs(3600);
