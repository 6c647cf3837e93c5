//! The oracle's own reading of bytes: sections 1 to 4 of `docs/semantics.md`, step by step in their order.
//!
//! Frame → **`Facts`**, or a decision on the way. Every step takes the bytes that are left and never looks behind their
//! end. Knows no rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ravelin_datapath::{ParseClass, Reason, Verdict};

use super::{Datagram, Decided, Facts, Step, Upper, Walk, covers, quotation};
use crate::policy::Direction;

impl Walk<'_> {
    /// Section 1, steps 2 to 5.
    pub(super) fn ethernet(&mut self, frame: &[u8]) -> Step<Facts> {
        let Some((header, mut rest)) = frame.split_first_chunk::<14>() else {
            return self.stop(ParseClass::Truncated);
        };
        let mut ether_type = u16::from_be_bytes([header[12], header[13]]);

        let mut tags = 0;
        while ether_type == 0x8100 || ether_type == 0x88a8 {
            tags += 1;
            if tags == 3 {
                return self.stop(ParseClass::VlanDepth);
            }
            let Some((tag, inner)) = rest.split_first_chunk::<4>() else {
                return self.stop(ParseClass::Truncated);
            };
            ether_type = u16::from_be_bytes([tag[2], tag[3]]);
            rest = inner;
        }
        match tags {
            0 => {}
            1 => self.see(ParseClass::Vlan)?,
            _ => self.see(ParseClass::Qinq)?,
        }

        match ether_type {
            0x0806 if self.policy.firewall.essentials => Err(Decided::allow(Reason::Arp)),
            0x0800 => self.ipv4(rest),
            0x86dd => {
                let facts = self.ipv6(rest)?;
                self.unspecified(&facts)?;
                Ok(facts)
            }
            _ => self.stop(ParseClass::NonIp),
        }
    }

    /// Section 2.
    fn ipv4(&mut self, bytes: &[u8]) -> Step<Facts> {
        let Some(fixed) = bytes.first_chunk::<20>() else {
            return self.stop(ParseClass::Truncated);
        };
        if fixed[0] / 16 != 4 {
            return self.stop(ParseClass::BadVersion);
        }
        let header_length = usize::from(fixed[0] % 16) * 4;
        let mut total_length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if total_length == 0 && self.says_no_length(bytes) {
            total_length = bytes.len();
        }
        if header_length < 20 || total_length < header_length {
            return self.stop(ParseClass::BadHeaderLength);
        }
        let Some(upper) = bytes.get(header_length..total_length) else {
            return self.stop(ParseClass::Truncated);
        };
        if header_length > 20 {
            self.see(ParseClass::IpOptions)?;
        }

        let source = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
        let destination = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
        // 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/3.
        let from_nowhere = matches!(source.octets()[0], 0 | 127 | 224..=255);
        self.addresses(source.into(), destination.into(), from_nowhere)?;

        let mut facts = Facts {
            source: source.into(),
            destination: destination.into(),
            protocol: fixed[9],
            hop_limit: fixed[8],
            upper: None,
            in_parts: false,
            quoted: None,
        };
        let id = u16::from_be_bytes([fixed[4], fixed[5]]).into();
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
        let offset = fragment % 0x2000;
        let more_fragments = fragment & 0x2000 != 0;
        if offset != 0 {
            return self.later_fragment(facts, id, offset, total_length);
        }
        if more_fragments {
            self.see(ParseClass::FragmentFirst)?;
            facts.in_parts = true;
        }
        facts.upper = self.upper(false, facts.protocol, more_fragments, upper)?;
        facts.quoted = quotation::of(&facts, upper);
        if more_fragments {
            self.first = Some((self.datagram(&facts, id), upper.len() / 8));
        }
        Ok(facts)
    }

    /// Section 3.
    fn ipv6(&mut self, bytes: &[u8]) -> Step<Facts> {
        let Some((fixed, behind)) = bytes.split_first_chunk::<40>() else {
            return self.stop(ParseClass::Truncated);
        };
        if fixed[0] / 16 != 6 {
            return self.stop(ParseClass::BadVersion);
        }
        let mut payload_length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        if payload_length == 0 && self.says_no_length(behind) {
            payload_length = behind.len();
        }
        let mut next_header = fixed[6];
        if payload_length == 0 && next_header == 0 {
            return self.stop(ParseClass::ExtHeaderChain);
        }
        let Some(mut rest) = behind.get(..payload_length) else {
            return self.stop(ParseClass::Truncated);
        };

        let source = ipv6_address(&fixed[8..24]);
        let destination = ipv6_address(&fixed[24..40]);
        // ::1, ::ffff:0:0/96, ff00::/8.
        let from_nowhere = match source.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] | [0, 0, 0, 0, 0, 0xffff, _, _] => true,
            [first, ..] => first >= 0xff00,
        };
        self.addresses(source.into(), destination.into(), from_nowhere)?;

        let mut facts = Facts {
            source: source.into(),
            destination: destination.into(),
            protocol: next_header,
            hop_limit: fixed[7],
            upper: None,
            in_parts: false,
            quoted: None,
        };
        let mut first_fragment = false;
        let mut id = 0;
        let mut headers = 0;
        while let HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS | MOBILITY | HIP | SHIM6 = next_header
        {
            headers += 1;
            if headers == 9 {
                return self.stop(ParseClass::ExtHeaderChain);
            }
            let Some((header, behind)) = extension_header(next_header, rest) else {
                if !first_fragment {
                    return self.stop(ParseClass::Truncated);
                }
                self.see(ParseClass::FragmentTiny)?;
                facts.protocol = next_header;
                self.first = Some((self.datagram(&facts, id), 0));
                return Ok(facts);
            };
            if next_header == ROUTING && header[2] == 0 {
                self.see(ParseClass::RoutingHeader0)?;
            }
            if next_header == FRAGMENT {
                let fragment = u16::from_be_bytes([header[2], header[3]]);
                let offset = fragment / 8;
                let more_fragments = fragment % 2 == 1;
                id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                facts.in_parts = true;
                if offset != 0 {
                    facts.protocol = header[0];
                    return self.later_fragment(facts, id, offset, behind.len());
                }
                if more_fragments {
                    self.see(ParseClass::FragmentFirst)?;
                    first_fragment = true;
                }
            }
            next_header = header[0];
            rest = behind;
        }
        facts.protocol = next_header;
        if !matches!(next_header, 6 | 17 | 47 | 50 | 51 | 58 | 59 | 132) {
            self.see(ParseClass::UnknownNextHeader)?;
        }
        facts.upper = self.upper(true, next_header, first_fragment, rest)?;
        facts.quoted = quotation::of(&facts, rest);
        if first_fragment {
            self.first = Some((self.datagram(&facts, id), rest.len() / 8));
        }
        Ok(facts)
    }

    /// Section 1, BIG TCP: `counted` are the bytes that a length field of 0 stands before.
    fn says_no_length(&self, counted: &[u8]) -> bool {
        self.scene.direction == Direction::Outbound && counted.len() > 65_535
    }

    /// Sections 2 and 3, the steps on spoofed sources and on land; section 7.
    fn addresses(&mut self, source: IpAddr, destination: IpAddr, from_nowhere: bool) -> Step<()> {
        let inbound = self.scene.direction == Direction::Inbound;
        let own = self.host.addresses().any(|own| own == source);
        if inbound && (from_nowhere || own || self.is_from_another_vpc(source)) {
            self.see(ParseClass::SpoofedSource)?;
        }
        if source == destination {
            self.see(ParseClass::Land)?;
        }
        Ok(())
    }

    /// The interface belongs to a VPC, and the source to one that cannot be behind it.
    fn is_from_another_vpc(&self, source: IpAddr) -> bool {
        let policy = self.policy;
        let mut interfaces = policy.firewall.interfaces.iter();
        let interface = interfaces.find(|interface| Some(&interface.name) == self.scene.interface.as_ref());
        let here = interface.and_then(|interface| interface.vpc.as_ref());
        let Some(here) = policy.vpcs.iter().find(|vpc| Some(&vpc.name) == here) else {
            return false;
        };
        policy.vpcs.iter().any(|vpc| {
            let mut cidrs = vpc.cidrs.elements().iter();
            vpc.name != here.name
                && !here.peers.contains(&vpc.name)
                && cidrs.any(|element| covers(&element.prefix, source))
        })
    }

    /// Section 3, the last step.
    fn unspecified(&mut self, facts: &Facts) -> Step<()> {
        let inbound = self.scene.direction == Direction::Inbound;
        let without_address = match facts.upper {
            Some(Upper::Icmpv6 { kind: 133 | 135, .. }) => facts.hop_limit == 255,
            Some(Upper::Icmpv6 {
                kind: 131 | 132 | 143,
                ..
            }) => facts.hop_limit == 1,
            _ => false,
        };
        if inbound && facts.source.is_unspecified() && (facts.in_parts || !without_address) {
            self.see(ParseClass::SpoofedSource)?;
        }
        Ok(())
    }

    /// Section 2, step 8. `length`: of what the offset counts from.
    fn later_fragment(&mut self, facts: Facts, id: u32, offset: u16, length: usize) -> Step<Facts> {
        if usize::from(offset) * 8 + length > 65_535 {
            return self.stop(ParseClass::BadHeaderLength);
        }
        if facts.protocol == TCP && offset == 1 {
            self.see(ParseClass::FragmentTiny)?;
        }
        // Always judged, whatever the policy says: no `see`.
        self.seen = self.seen.with(ParseClass::FragmentLater);
        if self.policy.keeps_flows() {
            let datagram = self.datagram(&facts, id);
            match self.fragments.follow(&datagram, self.origin.tick, offset) {
                Some(Verdict::Allow) => {
                    self.follows = true;
                    return Ok(facts);
                }
                Some(Verdict::Deny) => {
                    return Err(Decided::because(Verdict::Deny, Reason::FragmentLater));
                }
                None => {}
            }
        }
        self.see(ParseClass::FragmentOrphan)?;
        Ok(facts)
    }

    fn datagram(&self, facts: &Facts, id: u32) -> Datagram {
        Datagram {
            direction: self.scene.direction,
            source: facts.source,
            destination: facts.destination,
            protocol: facts.source.is_ipv4().then_some(facts.protocol),
            id,
        }
    }

    /// Section 4. `bytes` starts with the upper header and ends with the packet.
    fn upper(&mut self, ipv6: bool, protocol: u8, first_fragment: bool, bytes: &[u8]) -> Step<Option<Upper>> {
        let needs = match protocol {
            TCP => 20,
            UDP => 8,
            SCTP => 12,
            ICMP if !ipv6 => 8,
            ICMPV6 if ipv6 => 8,
            _ => return Ok(None),
        };
        if bytes.len() < needs {
            return self.upper_cut(first_fragment, ParseClass::Truncated);
        }
        let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let (source, destination) = (port(0), port(2));
        let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (kind, code, identifier) = (bytes[0], bytes[1], port(4));
        let upper = match protocol {
            TCP => {
                let data_offset = bytes[12] / 16;
                if data_offset < 5 {
                    return self.stop(ParseClass::BadHeaderLength);
                }
                if usize::from(data_offset) * 4 > bytes.len() {
                    return self.upper_cut(first_fragment, ParseClass::BadHeaderLength);
                }
                Upper::Tcp {
                    source,
                    destination,
                    flags: bytes[13],
                    sequence: number(4),
                    acknowledged: number(8),
                    payload: bytes.len() - usize::from(data_offset) * 4,
                }
            }
            UDP => Upper::Udp { source, destination },
            SCTP => Upper::Sctp { source, destination },
            ICMP => Upper::Icmp {
                kind,
                code,
                identifier,
            },
            _ => Upper::Icmpv6 {
                kind,
                code,
                identifier,
            },
        };
        Ok(Some(upper))
    }

    /// An upper header that does not fit: `otherwise`, but `fragment_tiny` in a first fragment.
    fn upper_cut(&mut self, first_fragment: bool, otherwise: ParseClass) -> Step<Option<Upper>> {
        if !first_fragment {
            return self.stop(otherwise);
        }
        self.see(ParseClass::FragmentTiny)?;
        Ok(None)
    }
}

/// The first 8 bytes of the extension header `number` and everything behind it; `None` when it is cut off.
fn extension_header(number: u8, bytes: &[u8]) -> Option<([u8; 8], &[u8])> {
    let first: [u8; 8] = *bytes.first_chunk()?;
    let length = match number {
        FRAGMENT => 8,
        _ => (usize::from(first[1]) + 1) * 8,
    };
    Some((first, bytes.get(length..)?))
}

fn ipv6_address(bytes: &[u8]) -> Ipv6Addr {
    let mut octets = [0; 16];
    for (octet, byte) in octets.iter_mut().zip(bytes) {
        *octet = *byte;
    }
    octets.into()
}

// IANA, "Assigned Internet Protocol Numbers".
const HOP_BY_HOP: u8 = 0;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const ICMPV6: u8 = 58;
const DESTINATION_OPTIONS: u8 = 60;
const SCTP: u8 = 132;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;
