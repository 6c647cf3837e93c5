//! What is true of the host and not written in the policy.

use std::net::IpAddr;

use super::{Clock, Policy};

/// The host that a policy is compiled for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// The filtered interfaces.
    pub interfaces: Vec<InterfaceFacts>,
    /// The clock.
    pub clock: Clock,
}

/// One filtered interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// As the kernel and the policy name it.
    pub name: String,
    /// As the kernel numbers it.
    pub index: u32,
    /// The addresses it holds: what `self` means for a packet that comes in or goes out here. A packet from the wire that
    /// claims one of them as its source, on whichever interface, is spoofed.
    pub addresses: Vec<IpAddr>,
}

impl HostFacts {
    /// A host that is not at hand: it has the interfaces that the policy filters, numbered from 2 (1 is loopback), each
    /// with these addresses.
    #[must_use]
    pub fn assumed(policy: &Policy, addresses: &[IpAddr]) -> Self {
        let interfaces = (2..).zip(&policy.firewall.interfaces);
        Self {
            interfaces: interfaces
                .map(|(index, interface)| InterfaceFacts {
                    name: interface.name.clone(),
                    index,
                    addresses: addresses.to_vec(),
                })
                .collect(),
            clock: Clock::default(),
        }
    }

    /// Every address of the host.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.interfaces
            .iter()
            .flat_map(|interface| interface.addresses.iter().copied())
    }

    /// The interface with that number.
    #[must_use]
    pub fn interface(&self, index: u32) -> Option<&InterfaceFacts> {
        self.interfaces.iter().find(|interface| interface.index == index)
    }
}
