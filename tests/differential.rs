//! The law that holds Ravelin together, in user space: the oracle and the compiled tables say the same of every packet.
//!
//! `kernel.rs` asks the same of the program in the kernel.

use std::sync::LazyLock;

use proptest::prelude::*;
use ravelin_datapath::{Decision, Reason, SliceFrame, decide};
use ravelin_rules::{Budget, Direction, HostFacts, Policy, Strategy, TableImage, reference};
use ravelin_tests::packet::{Kind, Packet, ether};
use ravelin_tests::random::{self, Case, Difference, Probe, Sketch, Spread};

#[test]
fn the_oracle_and_the_tables_agree_on_random_policies_and_packets() {
    let seed = random::seed();
    let mut spread = Spread::default();
    for case in random::cases(seed, POLICIES, PACKETS_PER_POLICY) {
        judge_case(&case, &mut spread);
    }
    println!("seed {seed}: {} pairs, 0 differences\n{spread}", spread.pairs());
    println!("{}", spread.coverage());
    assert!(spread.pairs() >= 100_000);
    assert_eq!(
        spread.missing_features(),
        Vec::<&str>::new(),
        "features that no policy had, or that decided about no pair"
    );
    assert_eq!(
        spread.missing_reasons(),
        Vec::<&str>::new(),
        "reasons that no pair reached"
    );
    assert_eq!(
        spread.missing_classes(),
        Vec::<&str>::new(),
        "classes that no pair reached"
    );
    assert!(
        spread.reason(Reason::Rule) * 100 >= spread.pairs() * 25,
        "rules decide too few of the pairs to prove anything about rules"
    );
}

#[test]
fn every_truncation_of_a_packet_is_judged_alike() {
    let mut spread = Spread::default();
    for mut case in random::cases(random::seed() ^ 1, 20, 20) {
        let whole = std::mem::take(&mut case.probes);
        for probe in whole {
            for length in 0..probe.packet.bytes().len() {
                let cut = probe.packet.clone().cut(length);
                let ends_early = random::ending_at(probe.packet.clone(), length);
                for packet in [cut, ends_early] {
                    case.probes.push(Probe::wire(packet));
                }
            }
        }
        judge_case(&case, &mut spread);
    }
    println!("{spread}");
}

#[test]
fn the_longest_headers_and_packets_there_can_be_are_judged_alike() {
    let mut spread = Spread::default();
    for mut case in random::cases(random::seed() ^ 4, 20, 0) {
        for headers in 0..10 {
            for size in [2040, 2048] {
                let mut packet = ether().vlan(1).vlan(2).ipv6();
                for _ in 0..headers {
                    packet = packet.layer(Kind::DestinationOptions).with("size", size);
                }
                case.probes.push(Probe::wire(packet.clone().tcp(443)));
                case.probes
                    .push(Probe::wire(packet.fragment(0, true).udp(53).payload(40_000)));
            }
        }
        // 65,535 bytes of IPv4, and 65,535 bytes behind the IPv6 header.
        case.probes.push(Probe::wire(
            ether().ipv4().with("options", 40).udp(53).payload(65_467),
        ));
        case.probes
            .push(Probe::wire(ether().ipv6().tcp(443).payload(65_515)));
        judge_case(&case, &mut spread);
    }
    println!("{spread}");
}

#[track_caller]
fn judge_case(case: &Case, spread: &mut Spread) {
    let world = World::of(&case.sketch, &case.sketch.load());
    assert_eq!(
        names(&case.sketch.load()),
        names(&world.policy),
        "seed {}: rules are read in another order\n{}",
        case.seed,
        case.sketch.toml()
    );
    spread.count_policy(&case.sketch);
    for probe in &case.probes {
        let oracle = world.oracle(probe);
        for (budget, cells) in BUDGETS.iter().enumerate() {
            let said = [oracle, world.tables(probe, budget)];
            if said[0] != said[1] {
                let difference = Difference {
                    seed: case.seed,
                    sketch: case.sketch.clone(),
                    probe: probe.clone(),
                    said: [("oracle", said[0]), ("tables", said[1])],
                };
                let small = difference.shrink(|sketch, probe| Some(anew(sketch, probe, budget)));
                panic!("{cells:?}\n{small}");
            }
        }
        spread.count(&oracle);
        spread.count_features(&case.sketch, &world.policy, &oracle);
    }
}

/// Both answers of a policy that is read and compiled for this packet alone.
fn anew(sketch: &Sketch, probe: &Probe, budget: usize) -> [Decision; 2] {
    let world = World::of(sketch, &sketch.load());
    [world.oracle(probe), world.tables(probe, budget)]
}

fn names(policy: &Policy) -> Vec<&str> {
    policy.rules.iter().map(|rule| rule.name.as_str()).collect()
}

/// A policy that is compiled once for many packets: for the oracle as it was meant, for the tables as it was read.
struct World {
    policy: Policy,
    host: HostFacts,
    /// By direction and budget.
    images: [[TableImage; 3]; 2],
}

impl World {
    fn of(sketch: &Sketch, loaded: &Policy) -> Self {
        let host = sketch.host();
        let compiled = |direction| {
            BUDGETS.map(|budget| {
                TableImage::compile_within(loaded, &host, direction, budget)
                    .unwrap_or_else(|error| panic!("{error}\n{}", sketch.toml()))
            })
        };
        Self {
            images: Direction::ALL.map(compiled),
            policy: sketch.policy(),
            host,
        }
    }

    fn oracle(&self, probe: &Probe) -> Decision {
        let origin = probe.origin(&self.host);
        reference::judge(
            &self.policy,
            &self.host,
            probe.direction,
            origin,
            &probe.packet.bytes(),
        )
    }

    fn tables(&self, probe: &Probe, budget: usize) -> Decision {
        let image = &self.images[probe.direction as usize][budget];
        decide(
            &SliceFrame(&probe.packet.bytes()),
            image,
            probe.origin(&self.host),
        )
    }
}

static SMALL_WORLD: LazyLock<Vec<World>> = LazyLock::new(|| {
    let cases = random::cases(random::seed() ^ 2, 64, 0);
    cases
        .map(|case| World::of(&case.sketch, &case.policy()))
        .collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_judged_alike_and_make_nobody_panic(
        seed in 0..SMALL_WORLD.len(),
        start in 0..5usize,
        tail in proptest::collection::vec(any::<u8>(), 0..160),
    ) {
        let starts: [&[u8]; 5] = [&[], &[0x08, 0x00, 0x45], &[0x86, 0xdd, 0x60], &[0x81, 0x00, 0, 1, 0x08, 0x00, 0x45], &[0x88, 0xa8]];
        let mut bytes = if start == 0 { Vec::new() } else { vec![2; 12] };
        bytes.extend(starts[start]);
        bytes.extend(tail);
        let probe = Probe { interface: start % 3, ..Probe::wire(Packet::raw(&bytes)) };
        let world = &SMALL_WORLD[seed];
        let (oracle, tables) = (world.oracle(&probe), world.tables(&probe, seed % 3));
        prop_assert_eq!(oracle, tables, "case seed {}, {}", seed, probe.packet);
    }
}

/// Every way to combine classes and to look addresses up must obey the law.
const BUDGETS: [Budget; 3] = [
    Budget::of(512 << 20),
    Budget {
        strategy: Strategy::BitVectors,
        ranges: true,
        ..Budget::of(512 << 20)
    },
    Budget {
        strategy: Strategy::CrossProduct(2),
        ..Budget::of(512 << 20)
    },
];
const POLICIES: usize = 1_000;
const PACKETS_PER_POLICY: usize = 101;
