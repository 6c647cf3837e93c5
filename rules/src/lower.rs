//! Policy → Ir: what a rule means on this host, spelled out.
//!
//! A rule becomes several rows where one row cannot say it: one for each interface when it asks for `self`, one for each stretch
//! of time in which the same of its entries are there.

mod moments;

use std::collections::HashMap;
use std::sync::Arc;

use ravelin_datapath::wire::Plane;

use self::moments::{Ends, Stretch};
use crate::ir::{Addresses, Effect, Ir, Row};
use crate::policy::{Action, AddressMatch, Direction, IcmpMatch, Mode, PortRange, Protocols, Rule, TcpFlags};
use crate::{HostFacts, Policy};

/// What the policy says of packets of one direction on this host, from the host's present moment on.
#[must_use]
pub fn lower(policy: &Policy, host: &HostFacts, direction: Direction) -> Ir {
    let rules = || {
        let rules = (0..).zip(&policy.rules);
        rules.filter(|(_, rule)| rule.direction == direction)
    };
    let ends = Ends::of(rules().map(|(_, rule)| rule), host.clock);
    let mut lowering = Lowering {
        host,
        ends,
        rows: Vec::new(),
        shared: HashMap::new(),
    };
    for (index, rule) in rules() {
        lowering.rule(index, rule);
    }
    Ir {
        rows: lowering.rows,
        moments: lowering.ends.into_moments(),
    }
}

struct Lowering<'p> {
    host: &'p HostFacts,
    ends: Ends,
    rows: Vec<Row>,
    /// Address conditions that rows share: by the condition's memory, the interface, and the stretch of time.
    shared: HashMap<(usize, Option<usize>, u64), Arc<Addresses>>,
}

impl<'p> Lowering<'p> {
    fn rule(&mut self, index: u32, rule: &'p Rule) {
        let places = self.places(rule);
        for stretch in self.ends.stretches(rule) {
            for place in &places {
                let row = self.row(index, rule, place, &stretch);
                self.rows.push(row);
            }
        }
    }

    /// The interfaces of the rule's rows: one row for all that it asks for, or one for each when they differ in what `self` is.
    fn places(&self, rule: &Rule) -> Vec<Option<Vec<Option<usize>>>> {
        let known = |name: &String| {
            let mut interfaces = self.host.interfaces.iter();
            interfaces.position(|interface| interface.name == *name)
        };
        let asked = rule
            .interface
            .as_ref()
            .map(|name| known(name).map(Some).into_iter().collect::<Vec<_>>());
        let mentions_self = rule.source.mentions_self() || rule.destination.mentions_self();
        match asked {
            // On this host there is no such interface: the rule has no rows.
            Some(asked) if asked.is_empty() => Vec::new(),
            Some(asked) => vec![Some(asked)],
            None if mentions_self => {
                let here = (0..self.host.interfaces.len()).map(Some);
                here.chain([None]).map(|place| Some(vec![place])).collect()
            }
            None => vec![None],
        }
    }

    fn row(
        &mut self,
        index: u32,
        rule: &'p Rule,
        place: &Option<Vec<Option<usize>>>,
        stretch: &Stretch,
    ) -> Row {
        let mut protocols = match &rule.protocols {
            Protocols::Any => None,
            Protocols::Only(numbers) => Some(numbers.clone()),
        };
        // The key dimension holds ports and ICMP types alike: which of them a row means, its protocols say.
        if !rule.ports.is_empty() {
            restrict(&mut protocols, &WITH_PORTS);
        }
        if !rule.icmp.is_empty() {
            restrict(&mut protocols, &WITH_ICMP);
        }
        let key = match (rule.ports.is_empty(), rule.icmp.is_empty()) {
            (true, true) => None,
            (false, _) => Some(rule.ports.clone()),
            (true, false) => Some(rule.icmp.iter().map(icmp_range).collect()),
        };
        let own = match place.as_deref() {
            Some([place]) => *place,
            _ => None,
        };
        Row {
            rule: index,
            level: rule.scope.level(),
            effect: match (rule.mode, rule.action) {
                (Mode::Observe, _) => Effect::Observe,
                (Mode::Enforce, Action::Next) => Effect::Next,
                (Mode::Enforce, Action::Allow | Action::Deny) => Effect::Decide,
            },
            interfaces: place.clone(),
            epochs: stretch.epochs,
            source: self.addresses(&rule.source, own, stretch),
            destination: self.addresses(&rule.destination, own, stretch),
            protocols,
            key,
            source_port: (!rule.source_ports.is_empty()).then(|| rule.source_ports.clone()),
            flags: rule.tcp_flags.map(flags),
        }
    }

    /// The condition with the addresses of the interface `own`, and with the entries that are there during the stretch.
    fn addresses(
        &mut self,
        condition: &'p AddressMatch,
        own: Option<usize>,
        stretch: &Stretch,
    ) -> Option<Arc<Addresses>> {
        if condition.is_anywhere() {
            return None;
        }
        let memory = std::ptr::from_ref(condition).addr();
        let hosts = |wanted: bool| {
            let interface = own.and_then(|place| self.host.interfaces.get(place));
            match interface {
                Some(interface) if wanted => interface.addresses.clone(),
                _ => Vec::new(),
            }
        };
        let (include_hosts, exclude_hosts) = (hosts(condition.include_self), hosts(condition.exclude_self));
        let ends = &mut self.ends;
        let addresses = self.shared.entry((memory, own, stretch.from)).or_insert_with(|| {
            Arc::new(Addresses {
                include: condition.include.as_ref().map(|set| ends.living(set, stretch)),
                include_hosts,
                exclude: ends.living(&condition.exclude, stretch),
                exclude_hosts,
            })
        });
        Some(Arc::clone(addresses))
    }
}

impl Row {
    /// Whether packets of this family can match at all.
    #[must_use]
    pub fn reaches(&self, plane: Plane) -> bool {
        [&self.source, &self.destination].into_iter().all(|addresses| {
            addresses
                .as_ref()
                .is_none_or(|addresses| addresses.reaches(plane))
        }) && self
            .protocols
            .as_ref()
            .is_none_or(|protocols| !protocols.is_empty())
    }
}

impl Addresses {
    /// Whether an address of this family is included.
    fn reaches(&self, plane: Plane) -> bool {
        let of_plane = |v4: bool| v4 == (plane == Plane::V4);
        let prefixes = self.include.as_ref().is_none_or(|set| {
            let mut elements = set.elements().iter();
            elements.any(|element| of_plane(element.prefix.addr().is_ipv4()))
        });
        prefixes || self.include_hosts.iter().any(|host| of_plane(host.is_ipv4()))
    }
}

fn restrict(protocols: &mut Option<Vec<u8>>, to: &[u8]) {
    match protocols {
        Some(numbers) => numbers.retain(|number| to.contains(number)),
        None => *protocols = Some(to.to_vec()),
    }
}

fn icmp_range(icmp: &IcmpMatch) -> PortRange {
    let (low, high) = icmp.code.map_or((0, u8::MAX), |code| (code, code));
    PortRange {
        first: u16::from_be_bytes([icmp.kind, low]),
        last: u16::from_be_bytes([icmp.kind, high]),
    }
}

fn flags(flags: TcpFlags) -> Vec<u8> {
    (0..=u8::MAX)
        .filter(|byte| byte & flags.set == flags.set && byte & flags.clear == 0)
        .collect()
}

/// Protocols with ports: TCP, UDP, SCTP. Sorted.
const WITH_PORTS: [u8; 3] = [6, 17, 132];
/// Protocols with a type and a code: ICMP, ICMPv6. Sorted.
const WITH_ICMP: [u8; 2] = [1, 58];
