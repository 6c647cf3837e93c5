//! The addresses that the host holds on its filtered interfaces: a packet from the wire that claims one is spoofed.
//!
//! kernel → **addresses** → `HostFacts` → compile. They change while the daemon runs (DHCP, router advertisements), so the
//! runtime asks again every few seconds and rebuilds the generation when the answer differs.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::time::{ClockId, clock_gettime};
use ravelin_rules::HostFacts;
use ravelin_rules::policy::{Clock, Interface, InterfaceFacts};

/// What the kernel says of these interfaces, and of the time.
///
/// # Errors
///
/// When the kernel does not answer.
pub fn facts(interfaces: &[Interface]) -> nix::Result<HostFacts> {
    let mut facts = Vec::with_capacity(interfaces.len());
    for interface in interfaces {
        facts.push(InterfaceFacts {
            name: interface.name.clone(),
            // An interface that does not exist has no number; attaching to it fails with a message of its own.
            index: if_nametoindex(interface.name.as_str()).unwrap_or(0),
            addresses: held_by(std::slice::from_ref(&interface.name))?,
        });
    }
    Ok(HostFacts {
        interfaces: facts,
        clock: clock()?,
    })
}

/// Both clocks, read one after the other.
fn clock() -> nix::Result<Clock> {
    let nanoseconds = |clock| {
        let time = clock_gettime(clock)?;
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        Ok(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0))
    };
    Ok(Clock {
        unix: nanoseconds(ClockId::CLOCK_REALTIME)?,
        boot: nanoseconds(ClockId::CLOCK_BOOTTIME)?,
    })
}

/// Every address on `interfaces`, sorted, without duplicates. Interfaces that do not exist have none.
///
/// # Errors
///
/// When the kernel does not answer.
pub fn held_by(interfaces: &[String]) -> nix::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = getifaddrs()?
        .filter(|entry| interfaces.contains(&entry.interface_name))
        .filter_map(|entry| {
            let address = entry.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}
