//! Buckets in the kernel: tables that are full of forged sources, and two processors that take from one bucket.
//!
//! What a limit says of packets one after another is in `flows.rs`, against the oracle.

use std::net::IpAddr;
use std::sync::Barrier;
use std::thread;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use ravelin_daemon::network::bans::never::Never;
use ravelin_datapath::packet::Address;
use ravelin_datapath::wire::{Plane, Setting, source_key};
use ravelin_datapath::{ClassSet, Decision, Reason, Verdict};
use ravelin_rules::{Direction, TableImage, load_text};
use ravelin_tests::packet::ether;
use ravelin_tests::prog_run::{self, Bench, FlowMemory, Kernel, TestPins};
use ravelin_tests::requires;
use ravelin_tests::sequence::host;

#[test]
fn a_flood_of_forged_sources_takes_no_more_memory_than_there_is_and_nobody_loses_a_bucket_to_it() {
    requires!(Root, Bpf, NetworkNamespaces);
    Bench::new("buckets-full").run(|| {
        let (memory, pins) = (FlowMemory::new().with_buckets(ROOM), TestPins::new());
        let mut kernel = loaded(
            "[[rule]]\nname = \"a\"\naction = \"allow\"\nprotocol = \"tcp\"\nlimit = { new_flows = \"10/h\", burst = 10 }\n",
            &memory,
            &pins,
        );
        kernel.turn(Direction::Inbound, NOW);
        let passes = |kernel: &mut Kernel, source: u32| {
            let reason = kernel.decide(&syn(source), false);
            assert!(reason == decision(true) || reason == decision(false), "{reason:?}");
            reason.verdict == Verdict::Allow
        };
        memory.know(source_key(Plane::V4, Address::v4(KNOWN.to_be_bytes())));
        for source in [KNOWN, FIRST] {
            assert!((0..5).all(|_| passes(&mut kernel, source)));
        }
        let forged = FIRST + 1..FIRST + 1 + 10 * ROOM;
        let passed = forged.filter(|source| passes(&mut kernel, *source)).count();
        // There are twice as many ways as there is room promised, and no way for more.
        let [_, held] = memory.source_buckets();
        assert!((ROOM as usize..=2 * ROOM as usize).contains(&held), "memory stays flat: {held}");
        assert_eq!(passed, held - 1 + 10, "newcomers share one bucket");
        let held = u64::try_from(held).expect("few");
        let [made, table_full, no_room, contended] = kernel.limit_events();
        assert_eq!(made, 1 + held);
        assert_eq!(table_full, u64::from(10 * ROOM) - (held - 1));
        assert_eq!((no_room, contended), (0, 0));
        for source in [KNOWN, FIRST] {
            let left = (0..10).filter(|_| passes(&mut kernel, source)).count();
            assert_eq!(left, 5, "who was there has what he had");
        }
        memory.know(source_key(Plane::V4, Address::v4((KNOWN + 1).to_be_bytes())));
        assert!(passes(&mut kernel, KNOWN + 1), "who is known finds room");
        assert_eq!(memory.source_buckets()[0], 2);
    });
}

#[test]
fn two_processors_never_get_more_than_the_bucket_holds() {
    requires!(Root, Bpf, NetworkNamespaces);
    Bench::new("buckets-two").run(|| {
        let (memory, pins) = (FlowMemory::new(), TestPins::new());
        let mut kernel = loaded(
            &format!(
                "[[rule]]\nname = \"a\"\naction = \"allow\"\nprotocol = \"tcp\"\nstateful = false\nlimit = {{ packets = \"1/h\", burst = {BURST}, per = \"rule\" }}\n"
            ),
            &memory,
            &pins,
        );
        kernel.turn(Direction::Inbound, NOW);
        let frame = syn(FIRST);
        let device = prog_run::interface();
        let before = Barrier::new(2);
        thread::scope(|scope| {
            for cpu in 0..2 {
                let (kernel, frame, before) = (&kernel, &frame, &before);
                scope.spawn(move || {
                    let mut only = CpuSet::new();
                    only.set(cpu).expect("a processor's number");
                    // A machine with one processor runs both there: nothing is proven then, and nothing is wrong.
                    let _one_processor = sched_setaffinity(Pid::from_raw(0), &only);
                    before.wait();
                    for _ in 0..ROUNDS {
                        kernel.run_often(frame, device, REPEAT);
                    }
                });
            }
        });
        let [allowed, denied] = [
            kernel.reason_packets(Reason::Rule, Verdict::Allow),
            kernel.reason_packets(Reason::Limit, Verdict::Deny),
        ];
        assert_eq!(allowed + denied, 2 * u64::from(ROUNDS * REPEAT));
        let [.., contended] = kernel.limit_events();
        assert!(allowed <= u64::from(BURST), "{allowed} of {BURST}");
        // A packet that lost every swap was refused too early, and its token is still there.
        assert!(allowed == u64::from(BURST) || contended > 0, "{allowed} of {BURST}");
        println!("{allowed} of {BURST} granted to two processors, {contended} contended");
    });
}

#[track_caller]
fn loaded(rules: &str, memory: &FlowMemory, pins: &TestPins) -> Kernel {
    let text = format!("[firewall]\ninterfaces = [\"eth0\"]\n{rules}");
    let policy = load_text(&text)
        .unwrap_or_else(|report| panic!("{}", report.render()))
        .policy;
    let [inbound, outbound] = Direction::ALL.map(|direction| {
        TableImage::compile(&policy, &host(&policy), direction)
            .unwrap_or_else(|error| panic!("{error}"))
            .with(Setting::FlowClockTold, 1)
    });
    Kernel::both([&inbound, &outbound], memory, pins, &Never::default())
}

fn decision(granted: bool) -> Decision {
    Decision {
        verdict: if granted { Verdict::Allow } else { Verdict::Deny },
        reason: if granted { Reason::Rule } else { Reason::Limit },
        rule: Some(0),
        observed: None,
        seen: ClassSet::default(),
    }
}

fn syn(source: u32) -> Vec<u8> {
    ether()
        .ipv4()
        .source(IpAddr::from(source.to_be_bytes()))
        .destination("203.0.113.9")
        .tcp(443)
        .with("flags", 2)
        .bytes()
}

const NOW: u64 = 1_000_000_000;
const ROOM: u32 = 128;
const KNOWN: u32 = 0x0a00_0001;
const FIRST: u32 = 0x0b00_0001;
const BURST: u32 = 500_000;
const ROUNDS: u32 = 8;
const REPEAT: u32 = 100_000;
