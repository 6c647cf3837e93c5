//! Random policies and packets, the same on every machine for the same seed.
//!
//! Seed → **`Case`s**: a policy and packets aimed at it. A difference found with them is replayed from the seed in its
//! message; `RAVELIN_SEED` sets the seed of a run.

mod difference;
mod packet;
mod policy;
mod seed;
mod sketch;
mod spread;

use ravelin_rules::Policy;
use ravelin_rules::policy::HostFacts;

use crate::packet::Packet;

pub use difference::Difference;
pub use packet::{ending_at, packet};
pub use policy::{prefix, sketch};
pub use seed::Random;
pub use sketch::{AddressWord, Block, RuleSketch, SetSketch, Sketch};
pub use spread::Spread;

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
}

impl Case {
    /// The case of this seed.
    #[must_use]
    pub fn new(seed: u64, packets: usize) -> Self {
        let mut random = Random::new(seed);
        let sketch = sketch(&mut random);
        let probes = (0..packets)
            .map(|_| Probe {
                packet: packet(&mut random, &sketch),
                loopback: random.chance(1),
            })
            .collect();
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
