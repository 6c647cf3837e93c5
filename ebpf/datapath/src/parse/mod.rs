//! Bytes → facts, or an early decision for what cannot or must not be parsed further.
//!
//! Each header is read once at its full fixed size: two reads of different size at one offset make the optimizer drop a
//! bounds check that the verifier needs.

mod big;
pub mod chain;
mod ethernet;
mod ipv4;
mod ipv6;
mod upper;

pub(crate) use ethernet::{ARP, IPV4, IPV6, ethernet, is_tag};
pub(crate) use ipv4::ipv4;
pub(crate) use ipv6::{half, ipv6};

/// TCP's protocol number.
pub(crate) const TCP: u8 = 6;

/// Bytes of the longest datagram: more, no length field can say.
const DATAGRAM_MAX: usize = 0xffff;
