//! The oracle: what a policy says about one frame, in the words of `docs/semantics.md`.
//!
//! Policy + bytes → **`Decision`**. Slow and obvious on purpose: it walks the bytes once and then the rules one by one,
//! first match wins. It shares no code with what it checks (the datapath's parser and lookups, the compiler and its
//! tables), only the names of verdicts, classes and reasons. Comparing it with them on many policies and packets rules
//! out wrong offsets and bounds in the parser, wrong boundaries in the tables, a rule lost, merged or reordered by the
//! compiler, and a lookup that differs between user space and the kernel. It cannot rule out a misread sentence of the
//! page: the fixture rows are there for that.

mod bans;
mod conditions;
mod cookies;
mod flows;
mod fragments;
mod limits;
mod parse;
mod quotation;
mod walk;
mod world;

use std::net::IpAddr;

use ravelin_datapath::{ClassSet, ClassVerdict, Decision, Origin, ParseClass, Reason, Verdict};

use crate::policy::{Direction, HostFacts, Policy, Timestamp};

pub use bans::Ban;
pub(crate) use conditions::{Condition, covers, matches};
pub use cookies::HostTcp;
use flows::Flows;
pub(crate) use flows::{may_go_on, opens};
use fragments::{Datagram, Fragments};
pub(crate) use walk::{Met, Visit, walk};
pub use world::World;

/// Judges one Ethernet frame of that direction, seen where and when `origin` says, as if none had come before it. Never panics, whatever
/// the bytes are.
#[must_use]
pub fn judge(
    policy: &Policy,
    host: &HostFacts,
    direction: Direction,
    origin: Origin,
    frame: &[u8],
) -> Decision {
    examine(policy, host, direction, origin, frame).decision
}

/// The judgement and what was read from the frame on the way.
pub(crate) struct Examination {
    pub(crate) decision: Decision,
    /// `None` when the decision fell before the rules were reached.
    pub(crate) facts: Option<Facts>,
}

pub(crate) fn examine(
    policy: &Policy,
    host: &HostFacts,
    direction: Direction,
    origin: Origin,
    frame: &[u8],
) -> Examination {
    World::alone().examine(policy, host, direction, origin, frame)
}

/// What is read from the frame; `None` when the decision falls before the rules are reached.
pub(crate) fn read(
    policy: &Policy,
    host: &HostFacts,
    direction: Direction,
    origin: Origin,
    frame: &[u8],
) -> Option<Facts> {
    let mut none = Fragments::default();
    let mut walk = Walk::of(policy, host, direction, origin, &mut none);
    walk.up_to_rules(&Flows::default(), origin.loopback, frame).ok()
}

/// Where, when and which way a packet goes: what rules may ask and bytes do not tell.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) direction: Direction,
    /// The interface's name; `None`: it is none of the filtered ones.
    pub(crate) interface: Option<String>,
    /// The addresses of that interface.
    pub(crate) own: Vec<IpAddr>,
    /// Nanoseconds since 1970. Signed: a clock can be wrong in both directions.
    pub(crate) moment: i128,
}

impl Scene {
    pub(crate) fn of(host: &HostFacts, direction: Direction, origin: Origin) -> Self {
        let mut interfaces = host.interfaces.iter();
        // The number 0 stands for an interface that does not exist.
        let interface =
            interfaces.find(|interface| interface.index == origin.interface && interface.index != 0);
        Self {
            direction,
            interface: interface.map(|interface| interface.name.clone()),
            own: interface.map_or_else(Vec::new, |interface| interface.addresses.clone()),
            moment: i128::from(host.clock.unix) + i128::from(origin.now) - i128::from(host.clock.boot),
        }
    }

    /// Whether what ends at `end` is still there.
    pub(crate) fn before(&self, end: Option<Timestamp>) -> bool {
        end.is_none_or(|end| self.moment < i128::from(end.unix()) * 1_000_000_000)
    }
}

/// What rules may ask about a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The upper protocol number.
    pub(crate) protocol: u8,
    /// TTL or hop limit.
    pub(crate) hop_limit: u8,
    /// `None`: a protocol without facts, or a fragment that does not carry them. No essential fits such a packet,
    /// so "to section 6" and "to section 5" are the same for it.
    pub(crate) upper: Option<Upper>,
    /// It is a first fragment, or came with a fragment header of IPv6.
    pub(crate) in_parts: bool,
    /// The packet that it quotes, when it is an ICMP error that quotes enough of one.
    pub(crate) quoted: Option<Box<Self>>,
}

/// The facts of an upper header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upper {
    Tcp {
        source: u16,
        destination: u16,
        flags: u8,
        sequence: u32,
        acknowledged: u32,
        /// Bytes behind the header.
        payload: usize,
    },
    Udp {
        source: u16,
        destination: u16,
    },
    Sctp {
        source: u16,
        destination: u16,
    },
    Icmp {
        kind: u8,
        code: u8,
        /// Bytes 4 and 5 of the message: of an echo, its identifier.
        identifier: u16,
    },
    Icmpv6 {
        kind: u8,
        code: u8,
        identifier: u16,
    },
}

/// Either the value, to go on with, or a decision that ends the judgement.
type Step<T> = Result<T, Decided>;

struct Decided {
    verdict: Verdict,
    reason: Reason,
    rule: Option<u32>,
    observed: Option<u32>,
}

impl Decided {
    fn allow(reason: Reason) -> Self {
        Self::because(Verdict::Allow, reason)
    }

    fn because(verdict: Verdict, reason: Reason) -> Self {
        Self {
            verdict,
            reason,
            rule: None,
            observed: None,
        }
    }

    /// The decision, with the classes that were seen on the way.
    fn with(self, seen: ClassSet) -> Decision {
        Decision {
            verdict: self.verdict,
            reason: self.reason,
            rule: self.rule,
            observed: self.observed,
            seen,
        }
    }
}

/// One judgement under way.
struct Walk<'a> {
    policy: &'a Policy,
    host: &'a HostFacts,
    scene: Scene,
    seen: ClassSet,
    fragments: &'a mut Fragments,
    origin: Origin,
    /// The packet is the first fragment of this datagram, whose rest begins behind so many units.
    first: Option<(Datagram, usize)>,
    /// The packet is a later fragment, and the first one passed.
    follows: bool,
    /// The packet is an ICMP error, and quotes one of a flow.
    quotes_flow: bool,
}

impl<'a> Walk<'a> {
    fn of(
        policy: &'a Policy,
        host: &'a HostFacts,
        direction: Direction,
        origin: Origin,
        fragments: &'a mut Fragments,
    ) -> Self {
        Self {
            policy,
            host,
            scene: Scene::of(host, direction, origin),
            seen: ClassSet::default(),
            fragments,
            origin,
            first: None,
            follows: false,
            quotes_flow: false,
        }
    }

    /// Sections 1 to 5.
    fn up_to_rules(&mut self, flows: &Flows, loopback: bool, frame: &[u8]) -> Step<Facts> {
        let essentials = self.policy.firewall.essentials;
        if essentials && loopback {
            return Err(Decided::allow(Reason::Loopback));
        }
        let facts = self.ethernet(frame)?;
        let matched = self.scene.direction == Direction::Inbound && quotation::is_asked_for(self.policy);
        self.quotes_flow = matched && flows.sent_what_is_quoted(self.policy, self.origin.tick, &facts);
        if essentials
            && let Some(reason) = essential(&facts, self.scene.direction)
            && (reason != Reason::IcmpError || !matched || self.quotes_flow)
        {
            return Err(Decided::allow(reason));
        }
        Ok(facts)
    }

    /// `class` is seen now. `Ok`: its verdict is to go on.
    fn see(&mut self, class: ParseClass) -> Step<()> {
        self.seen = self.seen.with(class);
        let verdict = match self.policy.firewall.classes.of(class) {
            ClassVerdict::Judge => return Ok(()),
            ClassVerdict::Allow => Verdict::Allow,
            ClassVerdict::Deny => Verdict::Deny,
        };
        Err(Decided {
            verdict,
            reason: class.into(),
            rule: None,
            observed: None,
        })
    }

    /// `class` is seen now, and there is nothing to go on with. `check` refuses `judge` for such a class;
    /// should a policy say it all the same, the packet is denied.
    fn stop<T>(&mut self, class: ParseClass) -> Step<T> {
        self.see(class)?;
        Err(Decided {
            verdict: Verdict::Deny,
            reason: class.into(),
            rule: None,
            observed: None,
        })
    }
}

/// Section 5.
fn essential(facts: &Facts, direction: Direction) -> Option<Reason> {
    let ipv4 = facts.source.is_ipv4();
    let inbound = direction == Direction::Inbound;
    let upper = facts.upper?;
    if facts.in_parts && matches!(upper, Upper::Icmp { .. } | Upper::Icmpv6 { .. }) {
        return None;
    }
    match upper {
        Upper::Icmp {
            kind: 3 | 11 | 12, ..
        } => Some(Reason::IcmpError),
        Upper::Icmpv6 { kind: 1..=4, .. } => Some(Reason::IcmpError),
        Upper::Icmpv6 { kind: 133..=136, .. } if facts.hop_limit == 255 => Some(Reason::Ndp),
        Upper::Icmpv6 {
            kind: 130 | 131 | 132 | 143,
            ..
        } if facts.hop_limit == 1 => Some(Reason::Mld),
        Upper::Udp {
            source: 67,
            destination: 68,
        } if ipv4 && inbound => Some(Reason::DhcpClient),
        Upper::Udp {
            source: 68,
            destination: 67,
        } if ipv4 && !inbound => Some(Reason::DhcpClient),
        Upper::Udp {
            source: 547,
            destination: 546,
        } if !ipv4 && inbound => Some(Reason::Dhcpv6Client),
        Upper::Udp {
            source: 546,
            destination: 547,
        } if !ipv4 && !inbound => Some(Reason::Dhcpv6Client),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
