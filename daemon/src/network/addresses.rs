//! The addresses that the host holds on its filtered interfaces: a packet from the wire that claims one is spoofed.
//!
//! kernel → **addresses** → `HostFacts` → compile. They change while the daemon runs (DHCP, router advertisements), so the
//! runtime asks again every few seconds and rebuilds the generation when the answer differs.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::time::{ClockId, clock_gettime};
use ravelin_rules::HostFacts;
use ravelin_rules::policy::{Clock, InterfaceFacts};

/// What the kernel says of these interfaces, and of the time.
///
/// # Errors
///
/// When the kernel does not answer.
pub fn facts<'i>(interfaces: impl Iterator<Item = &'i str>) -> nix::Result<HostFacts> {
    let mut facts = Vec::new();
    for name in interfaces {
        facts.push(InterfaceFacts {
            name: name.to_owned(),
            // An interface that does not exist has no number; attaching to it fails with a message of its own.
            index: if_nametoindex(name).unwrap_or(0),
            addresses: held_by(name)?,
        });
    }
    Ok(HostFacts {
        interfaces: facts,
        clock: clock()?,
    })
}

/// Whether tables built for one host are wrong on the other.
#[must_use]
pub fn differ(one: &HostFacts, other: &HostFacts) -> bool {
    let offset = |host: &HostFacts| i128::from(host.clock.unix) - i128::from(host.clock.boot);
    one.interfaces != other.interfaces || (offset(one) - offset(other)).unsigned_abs() > CLOCK_SET
}

/// Nanoseconds by which the wall clock moves only when somebody sets it: far more than is between reading both clocks, or
/// than a time server corrects in a few seconds.
const CLOCK_SET: u128 = 100_000_000;

/// Both clocks, read one after the other.
///
/// # Errors
///
/// When the kernel does not answer.
pub fn clock() -> nix::Result<Clock> {
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

/// Every address on the interface, sorted, without duplicates. An interface that does not exist has none.
fn held_by(interface: &str) -> nix::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
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
