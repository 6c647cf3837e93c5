//! The oracle's SYN cookies: section 12 of `docs/semantics.md`.
//!
//! Which SYNs are answered and which ACKs are asked about; what a cookie is, the host's TCP knows.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::limits::Packet;
use super::{Facts, Upper};
use crate::policy::{Direction, HostFacts, Mode, Policy};

/// What the host's TCP says of cookies.
pub trait HostTcp: fmt::Debug {
    /// Whether it makes a cookie for a SYN with this sequence number.
    fn answers(&self, from: SocketAddr, to: SocketAddr, sequence: u32) -> bool;

    /// Whether it has made the cookie that an ACK with these numbers brings back.
    fn knows(&self, from: SocketAddr, to: SocketAddr, sequence: u32, acknowledged: u32) -> bool;
}

/// Whether a SYN over the budget is answered.
pub(super) fn answers(policy: &Policy, host: &HostFacts, packet: Packet<'_>, facts: &Facts) -> bool {
    let Some(Upper::Tcp {
        source,
        destination,
        flags,
        sequence,
        payload,
        ..
    }) = facts.upper
    else {
        return false;
    };
    let Some(tcp) = packet.tcp else {
        return false;
    };
    let stations = packet.frame[0] & 1 == 0 && packet.frame[6] & 1 == 0;
    // FIN, SYN, RST, ACK.
    let plain = flags & 0b1_0111 == 0b0_0010;
    let has_options = tcp_header(packet.frame).is_some_and(|length| length > 20);
    policy.firewall.mode == Mode::Enforce
        && stations
        && plain
        && payload == 0
        && has_options
        && proxied(policy, host, facts.destination, destination)
        && tcp.answers(
            (facts.source, source).into(),
            (facts.destination, destination).into(),
            sequence,
        )
}

/// Whether a packet that opens a flow brings back a cookie.
pub(super) fn brings_one_back(policy: &Policy, host: &HostFacts, packet: Packet<'_>, facts: &Facts) -> bool {
    let Some(Upper::Tcp {
        source,
        destination,
        flags,
        sequence,
        acknowledged,
        ..
    }) = facts.upper
    else {
        return false;
    };
    let Some(tcp) = packet.tcp else {
        return false;
    };
    // SYN, RST, ACK.
    packet.direction == Direction::Inbound
        && flags & 0b1_0110 == 0b1_0000
        && tcp_header(packet.frame).is_some()
        && proxied(policy, host, facts.destination, destination)
        && tcp.knows(
            (facts.source, source).into(),
            (facts.destination, destination).into(),
            sequence,
            acknowledged,
        )
}

/// Whether a listener with `syn_proxy = "auto"` listens there.
fn proxied(policy: &Policy, host: &HostFacts, address: IpAddr, port: u16) -> bool {
    let here = |bind: &SocketAddr| {
        let any = bind.ip().is_unspecified()
            && bind.is_ipv4() == address.is_ipv4()
            && host
                .interfaces
                .iter()
                .any(|interface| interface.addresses.contains(&address));
        bind.port() == port && (bind.ip() == address || any)
    };
    let mut listeners = policy.listeners.iter().filter(|listener| listener.syn_proxy);
    listeners.any(|listener| listener.bind.iter().any(here))
}

/// The length of a TCP header that directly follows an IP header without options, in a packet that is no fragment. The frame has been read
/// before, and is as long as it says.
fn tcp_header(frame: &[u8]) -> Option<u8> {
    let mut at = 12;
    while matches!(frame[at..at + 2], [0x81, 0x00] | [0x88, 0xa8]) {
        at += 4;
    }
    let ip = &frame[at + 2..];
    let tcp = match frame[at..at + 2] {
        [0x08, 0x00] if ip[0] == 0x45 && ip[6] & 0x3f == 0 && ip[7] == 0 && ip[9] == 6 => &ip[20..],
        [0x86, 0xdd] if ip[6] == 6 => &ip[40..],
        _ => return None,
    };
    Some((tcp[12] >> 4) * 4)
}
