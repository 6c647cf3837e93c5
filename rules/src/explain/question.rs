//! What is asked: a packet in words, and the frame it is.
//!
//! Words → **`Question`** → frame. Knows no policy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use super::words::protocol_word;
use crate::check::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};

/// A packet to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The upper protocol.
    pub protocol: u8,
    /// Destination port; TCP, UDP and SCTP need one.
    pub port: Option<u16>,
    /// Source port; 40000 when not given.
    pub source_port: Option<u16>,
    /// ICMP type and code; an echo request when not given.
    pub icmp: Option<(u8, u8)>,
    /// TCP flags; SYN alone when not given.
    pub tcp_flags: Option<u8>,
}

/// Why there is no such packet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// One address is IPv4, the other IPv6.
    #[error("`{from}` and `{to}` are of different families; give both as IPv4 or both as IPv6")]
    Families {
        /// The source address.
        from: IpAddr,
        /// The destination address.
        to: IpAddr,
    },
    /// A number that announces an extension header.
    #[error("protocol {number} is an extension header of IPv6; give the protocol behind it")]
    ExtensionHeader {
        /// The number.
        number: u8,
    },
    /// A packet with ports, and no destination port.
    #[error("a `{protocol}` packet has a destination port; give it, like `--port 443`")]
    NoPort {
        /// The protocol.
        protocol: String,
    },
    /// Facts of another protocol.
    #[error(
        "a packet of protocol `{protocol}` has no {what}; take the option out, or ask about another protocol"
    )]
    Without {
        /// The protocol.
        protocol: String,
        /// What it does not have.
        what: &'static str,
    },
}

/// A question with every default filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upper {
    Tcp {
        source: u16,
        destination: u16,
        flags: u8,
    },
    Udp {
        source: u16,
        destination: u16,
    },
    Sctp {
        source: u16,
        destination: u16,
    },
    /// ICMP or ICMPv6.
    Message {
        kind: u8,
        code: u8,
    },
    Nothing,
}

impl Question {
    /// The frame that is judged. Checksums stay zero: nothing that judges packets reads them.
    ///
    /// # Errors
    ///
    /// [`QuestionError`] when no packet is like that.
    pub fn frame(&self) -> Result<Vec<u8>, QuestionError> {
        let upper = self.upper()?;
        let payload = upper_header(upper);
        // At most 20 bytes.
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        let mut frame = vec![0; 12];
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend([0x08, 0x00]);
                frame.extend(self.ipv4_header(source, destination, length));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend([0x86, 0xdd]);
                frame.extend(self.ipv6_header(source, destination, length));
            }
            (from, to) => return Err(QuestionError::Families { from, to }),
        }
        frame.extend(payload);
        Ok(frame)
    }

    pub(super) fn upper(&self) -> Result<Upper, QuestionError> {
        let protocol = || protocol_word(self.protocol);
        let without = |what| QuestionError::Without {
            protocol: protocol(),
            what,
        };
        if self.source.is_ipv6() && EXTENSION_HEADERS.contains(&self.protocol) {
            return Err(QuestionError::ExtensionHeader {
                number: self.protocol,
            });
        }
        let ports = matches!(self.protocol, TCP | UDP | SCTP);
        // A message of the other family is only a number: it has no type that anybody reads.
        let message = self.protocol == if self.source.is_ipv4() { ICMP } else { ICMPV6 };
        if !ports && (self.port.is_some() || self.source_port.is_some()) {
            return Err(without("ports"));
        }
        if !message && self.icmp.is_some() {
            return Err(without("ICMP type"));
        }
        if self.protocol != TCP && self.tcp_flags.is_some() {
            return Err(without("TCP flags"));
        }
        if message {
            let echo_request = if self.source.is_ipv4() { 8 } else { 128 };
            let (kind, code) = self.icmp.unwrap_or((echo_request, 0));
            return Ok(Upper::Message { kind, code });
        }
        if !ports {
            return Ok(Upper::Nothing);
        }
        let source = self.source_port.unwrap_or(40_000);
        let destination = self
            .port
            .ok_or_else(|| QuestionError::NoPort { protocol: protocol() })?;
        Ok(match self.protocol {
            TCP => Upper::Tcp {
                source,
                destination,
                flags: self.tcp_flags.unwrap_or(SYN),
            },
            UDP => Upper::Udp { source, destination },
            _ => Upper::Sctp { source, destination },
        })
    }

    /// What senders use: 255 for neighbour discovery and 1 for listener discovery, or nobody takes the message.
    fn hop_limit(&self) -> u8 {
        match (self.protocol, self.icmp) {
            (ICMPV6, Some((133..=137, _))) => 255,
            (ICMPV6, Some((130..=132 | 143, _))) => 1,
            _ => 64,
        }
    }

    fn ipv4_header(&self, source: Ipv4Addr, destination: Ipv4Addr, length: u16) -> Vec<u8> {
        let mut header = vec![0x45, 0];
        header.extend((20 + length).to_be_bytes());
        header.extend([0, 1, 0, 0, 64, self.protocol, 0, 0]);
        header.extend(source.octets());
        header.extend(destination.octets());
        header
    }

    fn ipv6_header(&self, source: Ipv6Addr, destination: Ipv6Addr, length: u16) -> Vec<u8> {
        let mut header = vec![0x60, 0, 0, 0];
        header.extend(length.to_be_bytes());
        header.extend([self.protocol, self.hop_limit()]);
        header.extend(source.octets());
        header.extend(destination.octets());
        header
    }
}

fn upper_header(upper: Upper) -> Vec<u8> {
    let ports = |source: u16, destination: u16| {
        let mut header = source.to_be_bytes().to_vec();
        header.extend(destination.to_be_bytes());
        header
    };
    let (mut header, length) = match upper {
        Upper::Tcp {
            source,
            destination,
            flags,
        } => {
            let mut header = ports(source, destination);
            // Sequence numbers, then a data offset of 5 words.
            header.extend([0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, flags]);
            (header, 20)
        }
        Upper::Udp { source, destination } => {
            let mut header = ports(source, destination);
            header.extend([0, 8]);
            (header, 8)
        }
        Upper::Sctp { source, destination } => (ports(source, destination), 12),
        Upper::Message { kind, code } => (vec![kind, code], 8),
        Upper::Nothing => (Vec::new(), 0),
    };
    header.resize(length, 0);
    header
}

const SYN: u8 = 2;

/// Section 3, step 7 of `docs/semantics.md`.
const EXTENSION_HEADERS: [u8; 7] = [0, 43, 44, 60, 135, 139, 140];
