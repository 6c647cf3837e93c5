//! Random sequences of packets in both directions, with time passing and policies that change: what flows are judged by.
//!
//! Seed → **`Sequence`** → one decision a step. Conversations are few and mostly behave, so that flows come to be and end;
//! the rest are packets that somebody forged.

mod cookies;
mod memory;
mod policy;
mod talk;

use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_datapath::Origin;
use ravelin_rules::reference::Ban;
use ravelin_rules::{Direction, HostFacts, Policy};

use crate::packet::Packet;
use crate::random::Random;

pub(crate) use cookies::cookie;
pub use cookies::{CLOSED, Keyed};
pub use memory::Remembered;

use talk::Talk;

/// A host's time with one or two policies.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The seed it was made from.
    pub seed: u64,
    /// The policies, as text.
    pub policies: Vec<String>,
    /// What is banned at some time: lists, the first of them empty.
    pub bans: Vec<Vec<IpNet>>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One packet.
#[derive(Clone, Debug)]
pub struct Step {
    /// The policy that judges it, by its place in [`Sequence::policies`].
    pub policy: usize,
    /// Counts the changes of policy up to here.
    pub epoch: u32,
    /// What is banned, by its place in [`Sequence::bans`].
    pub bans: usize,
    /// Nanoseconds of the flow clock.
    pub tick: u64,
    /// Which way it goes.
    pub direction: Direction,
    /// The packet.
    pub packet: Packet,
}

impl Sequence {
    /// The sequence of this seed, of so many packets.
    #[must_use]
    pub fn new(seed: u64, packets: usize) -> Self {
        let mut random = Random::new(seed);
        let policies = vec![policy::written(&mut random), policy::written(&mut random)];
        Self::under(policies, random.bits(), packets)
    }

    /// No packets, under one policy.
    #[must_use]
    pub fn under_policy(text: &str) -> Self {
        Self::under(vec![text.to_owned()], 0, 0)
    }

    /// Another one, under the same policies.
    #[must_use]
    pub fn another(&self, seed: u64) -> Self {
        Self::under(self.policies.clone(), seed, self.steps.len())
    }

    fn under(policies: Vec<String>, seed: u64, packets: usize) -> Self {
        let mut random = Random::new(seed);
        let mut talks: Vec<Talk> = (0..=random.index(3)).map(|_| Talk::new(&mut random)).collect();
        let bans = vec![vec![], policy::banned(&mut random), policy::banned(&mut random)];
        let (mut policy, mut epoch, mut banned, mut tick) = (0, 1, 0, 1_000_000_000_000);
        let mut at = 0;
        let (mut last, mut repeating) = (None, false);
        let steps = (0..packets)
            .map(|_| {
                if random.chance(4) {
                    policy = random.index(policies.len());
                    epoch += 1;
                }
                if random.chance(8) {
                    banned = if random.chance(25) {
                        random.index(bans.len())
                    } else {
                        0
                    };
                }
                if random.chance(25) {
                    at = random.index(talks.len());
                }
                // Somebody sends the same again and again, faster than a limit allows.
                let goes_on = if repeating { 80 } else { 10 };
                let again = last.take().filter(|_| random.chance(goes_on));
                repeating = again.is_some();
                let (direction, packet) = match again {
                    Some(again) => {
                        tick += small_gap(&mut random);
                        again
                    }
                    None => {
                        tick += gap(&mut random);
                        talks[at].next(&mut random)
                    }
                };
                last = Some((direction, packet.clone()));
                Step {
                    policy,
                    epoch,
                    bans: banned,
                    tick,
                    direction,
                    packet,
                }
            })
            .collect();
        Self {
            seed,
            policies,
            bans,
            steps,
        }
    }

    /// What is banned at a step, for the oracle: for ever.
    #[must_use]
    pub fn banned(&self, step: &Step) -> Vec<Ban> {
        let prefixes = self.bans[step.bans].iter();
        prefixes
            .map(|prefix| Ban {
                prefix: *prefix,
                end: u64::MAX,
            })
            .collect()
    }

    /// What the policies mean.
    #[must_use]
    pub fn policies(&self) -> Vec<Policy> {
        self.policies.iter().map(|text| policy::policy(text)).collect()
    }
}

impl Step {
    /// Where and when it is seen.
    #[must_use]
    pub fn origin(&self, interface: u32) -> Origin {
        Origin {
            interface,
            tick: self.tick,
            ..Origin::default()
        }
    }
}

/// The host that all sequences are about.
#[must_use]
pub fn host(policy: &Policy) -> HostFacts {
    HostFacts::assumed(
        policy,
        &talk::HOST.map(|text| text.parse::<IpAddr>().expect("an address")),
    )
}

/// What led to the packet of that number, for people.
#[must_use]
pub fn story(sequence: &Sequence, last: usize) -> String {
    let mut text = sequence.policies.join("\n");
    let mut before = 0;
    for (number, step) in sequence.steps.iter().take(last + 1).enumerate() {
        text += &format!(
            "{number}: +{} ns, policy {}, epoch {}, banned {:?}, {}: {}\n",
            step.tick - before,
            step.policy,
            step.epoch,
            sequence.bans[step.bans],
            step.direction.word(),
            step.packet
        );
        before = step.tick;
    }
    text
}

/// So many sequences of so many packets.
pub fn sequences(seed: u64, count: usize, packets: usize) -> impl Iterator<Item = Sequence> {
    let mut seeds = Random::new(seed);
    (0..count).map(move |_| Sequence::new(seeds.bits(), packets))
}

/// Mostly short; sometimes the very nanosecond at which a flow has been idle for too long, or one beside it.
fn gap(random: &mut Random) -> u64 {
    if random.chance(70) {
        return random.pick(&[0, 1, 1_000_000, 1_000_000_000]);
    }
    let seconds: u64 = random.pick(&[30, 60, 180, 3600]);
    seconds * 1_000_000_000 + random.below(3) - 1
}

/// Mostly none; sometimes what a token of one of the policies' rates takes, to the nanosecond, or one beside it.
fn small_gap(random: &mut Random) -> u64 {
    if random.chance(70) {
        return 0;
    }
    let token: u64 = random.pick(&[500_000_000, 142_857_143, 285_714_286, 20_000_000_000]);
    token + random.below(3) - 1
}
