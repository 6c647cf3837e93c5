//! What an explained packet says of itself, whether it was asked about in words or given as bytes.
//!
//! Question, or facts of the oracle → **`Packet`** → words. Knows no policy.

use std::net::IpAddr;

use super::question::Upper;
use super::words::{flag_words, protocol_word};
use crate::check::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};
use crate::reference::{self, Facts};

/// A packet that has addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) upper: Upper,
}

impl Packet {
    /// The packet that the oracle found in a frame.
    pub(super) fn of(facts: &Facts) -> Self {
        let upper = match facts.upper {
            Some(reference::Upper::Tcp {
                source,
                destination,
                flags,
                ..
            }) => Upper::Tcp {
                source,
                destination,
                flags,
            },
            Some(reference::Upper::Udp { source, destination }) => Upper::Udp { source, destination },
            Some(reference::Upper::Sctp { source, destination }) => Upper::Sctp { source, destination },
            Some(reference::Upper::Icmp { kind, code, .. } | reference::Upper::Icmpv6 { kind, code, .. }) => {
                Upper::Message { kind, code }
            }
            None => Upper::Nothing,
        };
        Self {
            source: facts.source,
            destination: facts.destination,
            protocol: facts.protocol,
            upper,
        }
    }

    pub(super) fn says(&self) -> String {
        let (source, destination) = (self.source, self.destination);
        let (from, to) = if source.is_ipv4() {
            (source.to_string(), destination.to_string())
        } else {
            (format!("[{source}]"), format!("[{destination}]"))
        };
        let name = protocol_word(self.protocol);
        match self.upper {
            Upper::Tcp {
                source,
                destination,
                flags,
            } => format!(
                "{name} {from}:{source} to {to}:{destination}, flags {}",
                flag_words(flags)
            ),
            Upper::Udp { source, destination } | Upper::Sctp { source, destination } => {
                format!("{name} {from}:{source} to {to}:{destination}")
            }
            Upper::Message { kind, code } => {
                format!("{name} {source} to {destination}, type {kind} code {code}")
            }
            Upper::Nothing if self.lacks_its_header() => {
                format!("protocol {name}, {source} to {destination}, no {name} header")
            }
            Upper::Nothing => format!("protocol {name}, {source} to {destination}"),
        }
    }

    /// A fragment: the protocol has a header that rules ask about, and this packet does not hold it.
    fn lacks_its_header(&self) -> bool {
        match self.protocol {
            TCP | UDP | SCTP => true,
            ICMP => self.source.is_ipv4(),
            ICMPV6 => self.source.is_ipv6(),
            _ => false,
        }
    }
}
