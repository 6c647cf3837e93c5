//! The law of bans in user space: the oracle and the datapath say the same of every packet, on random policies, bans and moments.
//!
//! `bans_kernel.rs` asks the same of the program in the kernel, with the daemon's own maps.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use ipnet::IpNet;
use ravelin_datapath::wire::NARROW_CLASSES;
use ravelin_datapath::{Reason, SliceFrame, Stateless, decide_with};
use ravelin_rules::policy::Direction;
use ravelin_rules::reference::{Ban, World};
use ravelin_rules::{Policy, TableImage};
use ravelin_tests::bans::{MemoryBans, bans, source};
use ravelin_tests::random::{self, Case, Random};

#[test]
fn the_oracle_and_the_datapath_agree_on_random_bans() {
    let seed = random::seed() ^ 0xba;
    let mut random = Random::new(seed);
    let mut told = BTreeMap::<&str, u64>::new();
    for case in random::cases(seed, POLICIES, PACKETS) {
        judge_case(&case, &mut random, &mut told);
    }
    println!("seed {seed}: {} pairs, 0 differences: {told:?}", told["pairs"]);
    for word in ["banned", "ended", "never", "not covered", "off", "outbound"] {
        assert!(
            told.get(word).is_some_and(|count| *count > 50),
            "few `{word}`: {told:?}"
        );
    }
}

fn judge_case(case: &Case, random: &mut Random, told: &mut BTreeMap<&'static str, u64>) {
    let mut policy = case.sketch.load();
    policy.firewall.bans = random.chance(90);
    let host = case.host();
    let images = Direction::ALL
        .map(|direction| TableImage::compile(&policy, &host, direction).expect("random policies fit"));
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
    // One moment for all bans of a case, so that ends are met to the nanosecond.
    let now = host.clock.boot + case.probes.first().map_or(0, |probe| probe.after);
    let bans = bans(random, &near, now);
    let mut memory = MemoryBans::new(&policy, u32::from(random.byte()) % NARROW_CLASSES);
    // Bits without bans cost time and nothing else.
    memory.ban(Ban {
        prefix: STALE.parse().expect("a prefix"),
        end: u64::MAX,
    });
    memory.unban(STALE.parse().expect("a prefix"));
    bans.iter().for_each(|ban| memory.ban(*ban));
    let world = World::with_bans(bans.clone());
    for probe in &case.probes {
        let bytes = probe.packet.bytes();
        let mut origin = probe.origin(&host);
        if random.chance(60) {
            origin.now = now;
        }
        memory.set_clock(origin.now);
        let oracle = world
            .clone()
            .judge(&policy, &host, probe.direction, origin, &bytes);
        let image = &images[probe.direction as usize];
        let decided = decide_with(&SliceFrame(&bytes), image, &memory, &Stateless, origin);
        assert_eq!(
            oracle,
            decided,
            "seed {}, {} at {}: {bans:?}\n{}",
            case.seed,
            probe.packet,
            origin.now,
            case.sketch.toml()
        );
        let word = word(
            &policy,
            &bans,
            &oracle,
            probe.direction,
            origin.now,
            source(&bytes),
        );
        *told.entry(word).or_default() += 1;
        *told.entry("pairs").or_default() += 1;
    }
}

/// What bans had to do with a decision.
fn word(
    policy: &Policy,
    bans: &[Ban],
    decision: &ravelin_datapath::Decision,
    direction: Direction,
    now: u64,
    source: Option<IpNet>,
) -> &'static str {
    let Some(source) = source else {
        return "no source";
    };
    if decision.reason == Reason::Ban {
        return "banned";
    }
    if !matches!(decision.reason, Reason::Rule | Reason::Default) {
        return "decided before";
    }
    let mut covering = bans.iter().filter(|ban| ban.prefix.contains(&source)).peekable();
    let never = policy.never_ban.elements();
    match covering.peek() {
        None => "not covered",
        Some(_) if direction == Direction::Outbound => "outbound",
        Some(_) if !policy.firewall.bans => "off",
        Some(_) if never.iter().any(|element| element.prefix.contains(&source)) => "never",
        Some(_) => {
            assert!(covering.all(|ban| ban.end <= now), "a live ban was passed over");
            "ended"
        }
    }
}

const POLICIES: usize = 400;
const PACKETS: usize = 100;
const STALE: &str = "192.0.0.0/10";
