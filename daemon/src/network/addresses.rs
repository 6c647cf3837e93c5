//! The addresses that the host holds on its filtered interfaces: a packet from the wire that claims one is spoofed.
//!
//! kernel → **addresses** → `HostFacts` → compile. They change while the daemon runs (DHCP, router advertisements), so the
//! runtime asks again every few seconds and rebuilds the generation when the answer differs.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

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
