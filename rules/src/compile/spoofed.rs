//! Sources that cannot come from the wire (`docs/semantics.md`, section 7): everywhere, or on the interfaces of some zones.

use ipnet::IpNet;
use ravelin_datapath::wire::{MAX_ZONES, Plane};

use super::partition::Span;
use super::{CompileError, span};
use crate::policy::{Direction, Vpc};
use crate::{HostFacts, Policy};

/// What is spoofed where.
pub(crate) struct Spoofed {
    /// On every interface.
    prefixes: Vec<IpNet>,
    /// By zone, the first of which is zone 1.
    zones: Vec<Vec<IpNet>>,
    /// The zone of each interface of the host's facts; 0: none.
    zone_of: Vec<u32>,
}

impl Spoofed {
    /// What is spoofed on this host. Packets that go out are never spoofed.
    pub(crate) fn of(policy: &Policy, host: &HostFacts, direction: Direction) -> Result<Self, CompileError> {
        let mut spoofed = Self {
            prefixes: Vec::new(),
            zones: Vec::new(),
            zone_of: vec![0; host.interfaces.len()],
        };
        if direction == Direction::Outbound {
            return Ok(spoofed);
        }
        let fixed = [
            "0.0.0.0/8",
            "127.0.0.0/8",
            "224.0.0.0/3",
            "::1/128",
            "::ffff:0:0/96",
            "ff00::/8",
        ];
        let fixed = fixed.iter().filter_map(|prefix| prefix.parse().ok());
        spoofed.prefixes = fixed.chain(host.addresses().map(IpNet::from)).collect();
        let mut named: Vec<&str> = Vec::new();
        for (interface, zone_of) in host.interfaces.iter().zip(&mut spoofed.zone_of) {
            let mut written = policy.firewall.interfaces.iter();
            let written = written.find(|written| written.name == interface.name);
            let Some(vpc) = written.and_then(|written| policy.vpc(written.vpc.as_deref()?)) else {
                continue;
            };
            let known = named.iter().position(|name| *name == vpc.name);
            let place = known.unwrap_or_else(|| {
                named.push(&vpc.name);
                spoofed.zones.push(foreign(vpc, policy));
                named.len() - 1
            });
            *zone_of = u32::try_from(place + 1)
                .ok()
                .filter(|zone| *zone <= MAX_ZONES)
                .ok_or(CompileError::TooManyZones { limit: MAX_ZONES })?;
        }
        Ok(spoofed)
    }

    /// The zone of each interface.
    pub(crate) fn zone_of(&self) -> &[u32] {
        &self.zone_of
    }

    /// Some sources are spoofed on some interfaces only.
    pub(super) fn by_zone(&self) -> bool {
        self.zones.iter().any(|zone| !zone.is_empty())
    }

    /// The addresses of one family: spoofed everywhere first, then by zone.
    pub(crate) fn spans(&self, plane: Plane) -> Vec<Vec<Span>> {
        let sets = std::iter::once(&self.prefixes).chain(&self.zones);
        sets.map(|prefixes| {
            prefixes
                .iter()
                .filter_map(|prefix| span(plane, *prefix))
                .collect()
        })
        .collect()
    }
}

/// The addresses of every VPC that cannot be behind an interface of `vpc`.
fn foreign(vpc: &Vpc, policy: &Policy) -> Vec<IpNet> {
    let others = policy
        .vpcs
        .iter()
        .filter(|other| other.name != vpc.name && !vpc.peers.contains(&other.name));
    others
        .flat_map(|other| other.cidrs.elements().iter().map(|element| element.prefix))
        .collect()
}
