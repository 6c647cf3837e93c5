//! The law for sequences: the oracle, which remembers conversations, and the datapath, which remembers flows, say the same of
//! every packet, whatever came before it.

use std::collections::BTreeMap;
use std::rc::Rc;

use ravelin_datapath::{Reason, Remembering, SliceFrame, decide_with};
use ravelin_rules::reference::World;
use ravelin_rules::{Direction, Policy, TableImage};
use ravelin_tests::bans::MemoryBans;
use ravelin_tests::random;
use ravelin_tests::sequence::{Keyed, Remembered, Sequence, host, sequences, story};

#[test]
fn the_oracle_and_the_datapath_agree_on_every_packet_of_a_sequence() {
    let seed = random::seed();
    let mut reasons: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let (mut packets, mut proven) = (0, 0);
    let mut bans = MemoryBans::new(&Policy::default(), 0);
    for sequence in sequences(seed, SEQUENCES, PACKETS) {
        for (decision, direction) in judge(&sequence, &mut bans, &mut proven) {
            *reasons
                .entry((decision.reason.label(), direction.word()))
                .or_default() += 1;
            packets += 1;
        }
    }
    println!(
        "seed {seed}: {SEQUENCES} sequences, {packets} packets, 0 differences, {proven} cookies brought back\n{reasons:?}"
    );
    let decides = |reason: Reason| {
        let counts = reasons.iter().filter(|((label, _), _)| *label == reason.label());
        counts.map(|(_, count)| count).sum::<u64>()
    };
    for reason in [
        Reason::Ban,
        Reason::FragmentLater,
        Reason::FragmentOrphan,
        Reason::Limit,
        Reason::SynBudget,
        Reason::SynCookie,
    ] {
        assert!(
            decides(reason) * 500 > packets,
            "too few of {reason:?}: {reasons:?}"
        );
    }
    assert!(proven > 30, "too few cookies: {proven}");
    for direction in Direction::ALL {
        let flows = reasons.get(&(Reason::Flow.label(), direction.word()));
        assert!(
            flows.is_some_and(|count| count * 12 > packets),
            "flows decide about too few packets to prove anything: {reasons:?}"
        );
    }
}

#[track_caller]
fn judge(
    sequence: &Sequence,
    bans: &mut MemoryBans,
    proven: &mut u64,
) -> Vec<(ravelin_datapath::Decision, Direction)> {
    let policies = sequence.policies();
    let images: Vec<[TableImage; 2]> = policies.iter().map(tables).collect();
    let (mut oracle, remembered) = (World::with_tcp(Rc::new(Keyed)), Remembered::default());
    let mut epoch = 0;
    let mut current = images[0].clone();
    let mut decisions = Vec::new();
    for (number, step) in sequence.steps.iter().enumerate() {
        if step.epoch != epoch {
            oracle.new_policy();
            epoch = step.epoch;
            current = images[step.policy].clone().map(|image| image.in_epoch(epoch));
        }
        let policy = &policies[step.policy];
        let banned = sequence.banned(step);
        bans.follow(policy);
        bans.replace(&banned);
        oracle.set_bans(banned);
        let [inbound, outbound] = &current;
        let (tables, other) = match step.direction {
            Direction::Inbound => (inbound, outbound),
            Direction::Outbound => (outbound, inbound),
        };
        let (origin, bytes) = (step.origin(INTERFACE), step.packet.bytes());
        let wanted = oracle.judge(policy, &host(policy), step.direction, origin, &bytes);
        let memory = Remembering::new(tables, other, &remembered);
        let said = decide_with(&SliceFrame(&bytes), tables, &*bans, &memory, origin);
        assert!(
            said == wanted,
            "seed {}, packet {number}:\noracle {wanted:?}\ntables {said:?}\n{}",
            sequence.seed,
            story(sequence, number)
        );
        decisions.push((said, step.direction));
    }
    *proven += remembered.proven();
    decisions
}

/// What a policy says of both directions.
fn tables(policy: &Policy) -> [TableImage; 2] {
    Direction::ALL.map(|direction| {
        TableImage::compile(policy, &host(policy), direction)
            .unwrap_or_else(|error| panic!("a policy of five rules: {error}"))
    })
}

/// As [`host`] numbers the first interface.
const INTERFACE: u32 = 2;
const SEQUENCES: usize = 5_000;
const PACKETS: usize = 60;
