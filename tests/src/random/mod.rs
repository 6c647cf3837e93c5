//! Random policies and packets, the same on every machine for the same seed.
//!
//! Seed → **`Case`s**: a policy and packets aimed at it. A difference found with them is replayed from the seed in its
//! message; `RAVELIN_SEED` sets the seed of a run.

mod coverage;
mod difference;
mod packet;
mod policy;
mod seed;
mod sketch;
mod spread;
mod words;

use ravelin_datapath::Origin;
use ravelin_rules::policy::HostFacts;
use ravelin_rules::{Direction, Policy};

use crate::packet::Packet;

pub use coverage::Coverage;
pub use difference::Difference;
pub use packet::{ending_at, packet};
use packet::{packet_for, target};
pub use policy::{prefix, sketch};
pub use seed::Random;
pub use sketch::{NOW, RuleSketch, SetSketch, Sketch, VpcSketch};
pub use spread::Spread;
pub use words::{AddressWord, Block, ScopeSketch};

/// A policy and the packets to judge by it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The seed of this case alone.
    pub seed: u64,
    /// The policy as written.
    pub sketch: Sketch,
    /// The packets.
    pub probes: Vec<Probe>,
}

/// A packet and where it comes in.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The packet.
    pub packet: Packet,
    /// It comes in on the loopback interface.
    pub loopback: bool,
    /// Which way it goes.
    pub direction: Direction,
    /// The interface, by its place; one behind the last is an interface that is not filtered.
    pub interface: usize,
    /// Nanoseconds after the compilation.
    pub after: u64,
}

impl Probe {
    /// A packet that comes in on the first interface, at once.
    #[must_use]
    pub fn wire(packet: Packet) -> Self {
        Self {
            packet,
            loopback: false,
            direction: Direction::Inbound,
            interface: 0,
            after: 0,
        }
    }

    /// Where and when, for a host.
    #[must_use]
    pub fn origin(&self, host: &HostFacts) -> Origin {
        let interface = host.interfaces.get(self.interface);
        Origin {
            loopback: self.loopback,
            interface: interface.map_or(UNFILTERED, |interface| interface.index),
            now: host.clock.boot + self.after,
            ..Origin::default()
        }
    }
}

/// The number of an interface that is not filtered.
pub const UNFILTERED: u32 = 4_000_000_000;

impl Case {
    /// The case of this seed.
    #[must_use]
    pub fn new(seed: u64, packets: usize) -> Self {
        let mut random = Random::new(seed);
        let sketch = sketch(&mut random);
        let probes = (0..packets).map(|_| probe(&mut random, &sketch)).collect();
        Self { seed, sketch, probes }
    }

    /// What the policy must mean, built without its text.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.sketch.policy()
    }

    /// The host the policy is on.
    #[must_use]
    pub fn host(&self) -> HostFacts {
        self.sketch.host()
    }
}

/// A packet aimed at a rule, mostly going its way, on its interface.
fn probe(random: &mut Random, sketch: &Sketch) -> Probe {
    let rule = target(random, sketch);
    let outbound = random.chance(25);
    let chance_direction = if outbound {
        Direction::Outbound
    } else {
        Direction::Inbound
    };
    let direction = rule
        .as_ref()
        .map(|rule| rule.direction)
        .filter(|_| random.chance(85));
    let interface = rule
        .as_ref()
        .and_then(|rule| rule.interface)
        .filter(|_| random.chance(70));
    let packet = packet_for(random, sketch, rule.as_ref());
    Probe {
        packet,
        loopback: random.chance(1),
        direction: direction.unwrap_or(chance_direction),
        interface: interface.unwrap_or_else(|| random.index(sketch.interfaces.len() + 1)),
        after: after(random),
    }
}

/// Moments right before, at and after those at which things end.
fn after(random: &mut Random) -> u64 {
    let second = match random.below(5) {
        0 => 0,
        1 => 1,
        2 => 1 + random.below(8),
        3 => random.below(110),
        _ => 1_000_000_000,
    };
    let nanoseconds: u64 = second * 1_000_000_000;
    match random.below(4) {
        0 => nanoseconds.saturating_sub(1),
        1 => nanoseconds,
        2 => nanoseconds + 1,
        _ => nanoseconds + random.below(1_000_000_000),
    }
}

/// So many policies, each with so many packets.
pub fn cases(seed: u64, policies: usize, packets_per_policy: usize) -> impl Iterator<Item = Case> {
    let mut seeds = Random::new(seed);
    (0..policies).map(move |_| Case::new(seeds.bits(), packets_per_policy))
}

/// `RAVELIN_SEED`, or a fixed number: a run is the same until somebody asks for another one.
///
/// # Panics
/// When the variable is not a number.
#[must_use]
pub fn seed() -> u64 {
    match std::env::var("RAVELIN_SEED") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_why| panic!("RAVELIN_SEED is `{text}`, not a number")),
        Err(_) => 20_260_731,
    }
}
