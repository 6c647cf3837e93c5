//! Which packets there are: the facts that can reach the rules, and those that are decided before.

use ravelin_datapath::wire::Plane;
use ravelin_datapath::{ClassVerdict, ParseClass};

use super::{Diagram, Level, Run, Space, TooLarge};
use crate::compile::{Spoofed, merged};
use crate::{Direction, HostFacts, Policy};

/// Which way packets go, and on which host.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) host: &'a HostFacts,
    pub(crate) direction: Direction,
}

/// What can come, and what is decided before the rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrivals {
    /// Every packet there can be, with the facts that a packet can have at once, on an interface that is filtered.
    pub(crate) all: Diagram,
    /// Those that the class `spoofed_source` is about.
    pub(crate) spoofed: Diagram,
    /// Those that an essential is about. A message of neighbour or listener discovery is not among them: with another hop
    /// limit it is an ordinary packet.
    pub(crate) essential: Diagram,
    /// Those without an upper header whose protocol has one: fragments.
    pub(crate) headerless: Diagram,
    /// Those that the class `spoofed_source` is about because they come from `::`. Those that may are not told apart: they are essentials,
    /// or have a hop limit.
    pub(crate) unspecified: Diagram,
    /// Those that the class `unknown_next_header` is about.
    pub(crate) unknown: Diagram,
}

impl Arrivals {
    /// `moments`: how many there are; each begins an epoch, and there are no others.
    pub(crate) fn of(space: &mut Space, side: Side<'_>, moments: usize) -> Result<Self, TooLarge> {
        let (whole, headerless) = (shapes(space, false)?, shapes(space, true)?);
        let on = interfaces(space, side.host)?;
        let epochs = Run {
            first: 0,
            last: moments as u128,
        };
        let epochs = set(space, Level::Time, &[epochs])?;
        let on = space.and(on, epochs)?;
        let all = space.or(whole, headerless)?;
        Ok(Self {
            all: space.and(all, on)?,
            headerless: space.and(headerless, on)?,
            spoofed: spoofed(space, side)?,
            essential: essential(space, side.policy, side.direction)?,
            unspecified: unspecified(space, side.direction)?,
            unknown: unknown(space, headerless)?,
        })
    }

    /// The packets that reach the rules.
    pub(crate) fn reaching(&self, space: &mut Space, policy: &Policy) -> Result<Diagram, TooLarge> {
        let judged = |class| policy.firewall.classes.of(class) == ClassVerdict::Judge;
        let mut reaching = self.all;
        if !judged(ParseClass::SpoofedSource) {
            reaching = space.minus(reaching, self.spoofed)?;
            reaching = space.minus(reaching, self.unspecified)?;
        }
        if !(judged(ParseClass::FragmentOrphan) || judged(ParseClass::FragmentTiny)) {
            reaching = space.minus(reaching, self.headerless)?;
        }
        if !judged(ParseClass::UnknownNextHeader) {
            reaching = space.minus(reaching, self.unknown)?;
        }
        if policy.firewall.essentials {
            reaching = space.minus(reaching, self.essential)?;
        }
        Ok(reaching)
    }
}

const fn one(value: u128) -> Run {
    Run {
        first: value,
        last: value,
    }
}

fn set(space: &mut Space, level: Level, runs: &[Run]) -> Result<Diagram, TooLarge> {
    space.split(level, runs, Diagram::EVERYTHING, Diagram::NOTHING)
}

/// The facts that go together: those of whole packets, or of fragments without an upper header.
fn shapes(space: &mut Space, headerless: bool) -> Result<Diagram, TooLarge> {
    let present = |level: Level| Run {
        first: 1,
        last: level.last(),
    };
    let absent = one(0);
    let mut shape = |key: Run, source_port: Run, flags: Run| {
        let flags = set(space, Level::Flags, &[flags])?;
        let ports = space.split(Level::SourcePort, &[source_port], flags, Diagram::NOTHING)?;
        space.split(Level::Key, &[key], ports, Diagram::NOTHING)
    };
    let (key, port, flags) = (
        present(Level::Key),
        present(Level::SourcePort),
        present(Level::Flags),
    );
    let nothing = shape(absent, absent, absent)?;
    let (tcp, ports, message) = if headerless {
        (nothing, nothing, nothing)
    } else {
        (
            shape(key, port, flags)?,
            shape(key, port, absent)?,
            shape(key, absent, absent)?,
        )
    };
    let mut families = [Diagram::NOTHING; 2];
    for (family, diagram) in families.iter_mut().enumerate() {
        let (icmp, other) = if family == 0 { (1, 58) } else { (58, 1) };
        // Extension headers are not upper protocols; behind a fragment header anything may stand.
        let extension = family == 1 && !headerless;
        let mut below = if headerless { Diagram::NOTHING } else { nothing };
        for (protocols, facts) in [
            (&[6][..], tcp),
            (&[17, 132], ports),
            (&[icmp], message),
            (&[other][..], if headerless { Diagram::NOTHING } else { nothing }),
        ] {
            let mut runs: Vec<Run> = protocols.iter().map(|number| one(*number)).collect();
            runs.sort_unstable();
            let these = set(space, Level::Protocol, &runs)?;
            below = space.choose(these, facts, below)?;
        }
        if extension {
            let headers = EXTENSION_HEADERS.map(|number| one(number.into()));
            let headers = set(space, Level::Protocol, &headers)?;
            below = space.minus(below, headers)?;
        }
        if family == 1 && headerless {
            // A whole packet of a protocol without a name has the same facts, and meets a class that a fragment does not.
            let marked = set(space, Level::Flags, &[one(FRAGMENT)])?;
            let marked = space.split(Level::SourcePort, &[absent], marked, Diagram::NOTHING)?;
            let marked = space.split(Level::Key, &[absent], marked, Diagram::NOTHING)?;
            let unnamed = unnamed(space)?;
            below = space.choose(unnamed, marked, below)?;
            let headers = EXTENSION_HEADERS.map(|number| one(number.into()));
            let headers = set(space, Level::Protocol, &headers)?;
            let fragments = space.and(headers, nothing)?;
            below = space.or(below, fragments)?;
        }
        *diagram = below;
    }
    let [v4, v6] = families;
    space.split(Level::Family, &[one(0)], v4, v6)
}

/// IPv6 packets behind whose last header stands a protocol without a name. Of a fragment without its upper header nobody looks.
fn unknown(space: &mut Space, headerless: Diagram) -> Result<Diagram, TooLarge> {
    let other = unnamed(space)?;
    let v6 = space.split(Level::Family, &[one(1)], other, Diagram::NOTHING)?;
    space.minus(v6, headerless)
}

/// Protocols that IPv6 has no name for.
fn unnamed(space: &mut Space) -> Result<Diagram, TooLarge> {
    let known: Vec<Run> = NAMED.iter().map(|number| one((*number).into())).collect();
    let known = set(space, Level::Protocol, &known)?;
    space.minus(Diagram::EVERYTHING, known)
}

/// What semantics, section 3, knows behind the last header of an IPv6 packet.
const NAMED: [u8; 8] = [6, 17, 47, 50, 51, 58, 59, 132];

/// Whether a later fragment with this protocol is marked as such: see [`FRAGMENT`].
pub(crate) fn is_marked(v6: bool, protocol: u8) -> bool {
    v6 && !NAMED.contains(&protocol) && !EXTENSION_HEADERS.contains(&protocol)
}

/// The protocol numbers of extension headers.
const EXTENSION_HEADERS: [u8; 7] = [0, 43, 44, 60, 135, 139, 140];

/// Flags of packets that have none: the mark of a later fragment where a whole packet has the same facts. No rule asks for it: a rule
/// with flags asks for TCP.
pub(crate) const FRAGMENT: u128 = Level::Flags.last();

/// The filtered interfaces; on a host without any, the one that stands for all.
fn interfaces(space: &mut Space, host: &HostFacts) -> Result<Diagram, TooLarge> {
    let runs = match host.interfaces.len() {
        0 => one(0),
        count => Run {
            first: 1,
            last: count as u128,
        },
    };
    set(space, Level::Interface, &[runs])
}

fn spoofed(space: &mut Space, side: Side<'_>) -> Result<Diagram, TooLarge> {
    // More VPCs than the tables can tell apart: compiling says so.
    let Ok(spoofed) = Spoofed::of(side.policy, side.host, side.direction) else {
        return Ok(Diagram::NOTHING);
    };
    let mut families = [Diagram::NOTHING; 2];
    for (plane, diagram) in Plane::ALL.into_iter().zip(&mut families) {
        let zones = spoofed.spans(plane);
        let mut sources = Vec::new();
        for zone in &zones {
            let runs: Vec<Run> = merged(zone)
                .into_iter()
                .map(|span| Run {
                    first: span.first,
                    last: span.last,
                })
                .collect();
            sources.push(set(space, Level::Source, &runs)?);
        }
        let everywhere = sources.first().copied().unwrap_or(Diagram::NOTHING);
        let mut all = everywhere;
        for (place, zone) in (1..).zip(spoofed.zone_of()) {
            let zone = usize::try_from(*zone).unwrap_or(0);
            if let Some(here) = sources.get(zone).filter(|_| zone > 0) {
                let interface = space.split(Level::Interface, &[one(place)], *here, Diagram::NOTHING)?;
                all = space.or(all, interface)?;
            }
        }
        *diagram = all;
    }
    let [v4, v6] = families;
    space.split(Level::Family, &[one(0)], v4, v6)
}

/// Section 5 of `docs/semantics.md`, without the messages that a hop limit tells apart.
fn unspecified(space: &mut Space, direction: Direction) -> Result<Diagram, TooLarge> {
    if direction == Direction::Outbound {
        return Ok(Diagram::NOTHING);
    }
    let source = set(space, Level::Source, &[one(0)])?;
    space.split(Level::Family, &[one(0)], Diagram::NOTHING, source)
}

fn essential(space: &mut Space, policy: &Policy, direction: Direction) -> Result<Diagram, TooLarge> {
    // Of an error that has to quote a flow, all that can be said is that it may come to the rules.
    let matched = direction == Direction::Inbound && policy.matches_errors();
    let messages = |kinds: std::ops::RangeInclusive<u128>| Run {
        first: 1 + kinds.start() * 256,
        last: 1 + kinds.end() * 256 + 255,
    };
    let errors = [messages(3..=3), messages(11..=12)];
    let mut families = [Diagram::NOTHING; 2];
    for (family, diagram) in families.iter_mut().enumerate() {
        let (icmp, errors, server, client) = if family == 0 {
            (1, &errors[..], 67, 68)
        } else {
            (58, &[messages(1..=4)][..], 547, 546)
        };
        let (from, to) = match direction {
            Direction::Inbound => (server, client),
            Direction::Outbound => (client, server),
        };
        let errors = set(space, Level::Key, if matched { &[] } else { errors })?;
        let errors = space.split(Level::Protocol, &[one(icmp)], errors, Diagram::NOTHING)?;
        let port = set(space, Level::SourcePort, &[one(1 + from)])?;
        let dhcp = space.split(Level::Key, &[one(1 + to)], port, Diagram::NOTHING)?;
        let dhcp = space.split(Level::Protocol, &[one(17)], dhcp, Diagram::NOTHING)?;
        *diagram = space.or(errors, dhcp)?;
    }
    let [v4, v6] = families;
    space.split(Level::Family, &[one(0)], v4, v6)
}
