//! Layers → bytes. Lengths, numbers of the next header and checksums are filled in unless a field overrides them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Kind, Layer, Value, part};

pub(super) fn frame(layers: &[Layer]) -> Vec<u8> {
    if let Some(at) = layers.iter().position(|layer| layer.kind == Kind::Part) {
        return frame(&part::cut(layers, at));
    }
    let (edits, headers): (Vec<&Layer>, Vec<&Layer>) = layers.iter().partition(|layer| is_edit(layer.kind));
    let mut bytes = Vec::new();
    for (at, layer) in headers.iter().enumerate().rev() {
        let around = Around {
            outer: &headers[..at],
            next: headers.get(at + 1).map(|next| (next.kind, *next)),
        };
        bytes = encode(layer, &around, bytes);
    }
    for edit in edits {
        let number = |field| usize::try_from(edit.number(field).unwrap_or(0)).unwrap_or(usize::MAX);
        match edit.kind {
            Kind::Cut => bytes.truncate(number("to")),
            Kind::Pad if bytes.len() < number("to") => bytes.resize(number("to"), 0),
            Kind::Set => {
                if let Some(byte) = bytes.get_mut(number("at")) {
                    *byte = edit.number("byte").unwrap_or(0).to_be_bytes()[7];
                }
            }
            _ => {}
        }
    }
    bytes
}

fn is_edit(kind: Kind) -> bool {
    matches!(kind, Kind::Cut | Kind::Pad | Kind::Set)
}

/// What stands around a layer.
struct Around<'a> {
    outer: &'a [&'a Layer],
    next: Option<(Kind, &'a Layer)>,
}

impl Around<'_> {
    fn ether_type(&self) -> u64 {
        match self.next {
            Some((Kind::Vlan, tag)) => tag.number("tpid").unwrap_or(0x8100),
            Some((Kind::Ipv4, _)) => 0x0800,
            Some((Kind::Ipv6, _)) => 0x86dd,
            // Local experimental EtherType 1 (IEEE 802).
            _ => 0x88b5,
        }
    }

    fn protocol(&self) -> u64 {
        match self.next.map(|(kind, _)| kind) {
            Some(Kind::HopByHop) => 0,
            Some(Kind::Icmp) => 1,
            Some(Kind::Ipv4) => 4,
            Some(Kind::Tcp) => 6,
            Some(Kind::Udp) => 17,
            Some(Kind::Ipv6) => 41,
            Some(Kind::Routing) => 43,
            Some(Kind::Fragment) => 44,
            Some(Kind::Icmpv6) => 58,
            Some(Kind::DestinationOptions) => 60,
            Some(Kind::Sctp) => 132,
            Some(Kind::Mobility) => 135,
            Some(Kind::Hip) => 139,
            Some(Kind::Shim6) => 140,
            None => 59,
            // For experiments (RFC 3692).
            Some(_) => 253,
        }
    }

    /// The sum of the pseudo header of the nearest IP header.
    fn pseudo_header(&self, protocol: u64, length: usize) -> u64 {
        let mut ip = self.outer.iter().rev();
        let Some(ip) = ip.find(|layer| matches!(layer.kind, Kind::Ipv4 | Kind::Ipv6)) else {
            return 0;
        };
        let (source, destination) = addresses(ip);
        sum(&octets(source)) + sum(&octets(destination)) + protocol + length as u64
    }
}

fn encode(layer: &Layer, around: &Around<'_>, inner: Vec<u8>) -> Vec<u8> {
    let number = |field: &str, default: u64| layer.number(field).unwrap_or(default);
    let mut out = Vec::new();
    match layer.kind {
        Kind::Ether => {
            put(&mut out, 6, number("destination-mac", 0x0200_0000_0002));
            put(&mut out, 6, number("source-mac", 0x0200_0000_0001));
            put(&mut out, 2, number("type", around.ether_type()));
        }
        Kind::Vlan => {
            put(&mut out, 2, number("id", 0));
            put(&mut out, 2, number("type", around.ether_type()));
        }
        Kind::Ipv4 => {
            let options = options(layer);
            let header = 20 + options.len() as u64;
            let (source, destination) = addresses(layer);
            put(
                &mut out,
                1,
                number("version", 4) << 4 | number("header-words", header / 4) & 15,
            );
            put(&mut out, 1, number("tos", 0));
            put(&mut out, 2, number("length", header + inner.len() as u64));
            put(&mut out, 2, number("id", 1));
            put(
                &mut out,
                2,
                number("flags", 0) << 13 | number("offset", 0) & 0x1fff,
            );
            put(&mut out, 1, number("ttl", 64));
            put(&mut out, 1, number("protocol", around.protocol()));
            put(&mut out, 2, number("checksum", 0));
            out.extend(octets(source));
            out.extend(octets(destination));
            out.extend(options);
            fill_checksum(layer, &mut out, 10, 0);
        }
        Kind::Ipv6 => {
            let (source, destination) = addresses(layer);
            put(
                &mut out,
                4,
                number("version", 6) << 28 | number("class", 0) << 20 | number("flow", 0),
            );
            put(&mut out, 2, number("length", inner.len() as u64));
            put(&mut out, 1, number("next", around.protocol()));
            put(&mut out, 1, number("hop-limit", 64));
            out.extend(octets(source));
            out.extend(octets(destination));
        }
        Kind::Fragment => {
            put(&mut out, 1, number("next", around.protocol()));
            put(&mut out, 1, 0);
            put(
                &mut out,
                2,
                number("offset", 0) << 3 | (number("reserved", 0) & 3) << 1 | number("more", 0) & 1,
            );
            put(&mut out, 4, number("id", 1));
        }
        Kind::HopByHop
        | Kind::Routing
        | Kind::DestinationOptions
        | Kind::Mobility
        | Kind::Hip
        | Kind::Shim6 => {
            let size = number("size", 8);
            let default_kind = if layer.kind == Kind::Routing { 4 } else { 1 };
            put(&mut out, 1, number("next", around.protocol()));
            put(&mut out, 1, number("length", (size / 8).saturating_sub(1)));
            put(&mut out, 1, number("kind", default_kind));
            out.resize(usize::try_from(size).unwrap_or(8), 0);
        }
        Kind::Tcp => {
            let options = options(layer);
            ports(layer, &mut out, 443);
            put(&mut out, 4, number("sequence", 1));
            put(&mut out, 4, number("acknowledgement", 0));
            put(
                &mut out,
                1,
                number("data-offset", 5 + options.len() as u64 / 4) << 4,
            );
            put(&mut out, 1, number("flags", 2));
            put(&mut out, 2, number("window", 0xffff));
            put(&mut out, 2, number("checksum", 0));
            put(&mut out, 2, number("urgent", 0));
            out.extend(options);
            let pseudo = around.pseudo_header(6, out.len() + inner.len()) + sum(&inner);
            fill_checksum(layer, &mut out, 16, pseudo);
        }
        Kind::Udp => {
            ports(layer, &mut out, 53);
            put(&mut out, 2, number("length", 8 + inner.len() as u64));
            put(&mut out, 2, number("checksum", 0));
            let pseudo = around.pseudo_header(17, 8 + inner.len()) + sum(&inner);
            fill_checksum(layer, &mut out, 6, pseudo);
        }
        Kind::Sctp => {
            ports(layer, &mut out, 38412);
            put(&mut out, 4, number("tag", 1));
            put(&mut out, 4, number("checksum", 0));
            if layer.number("checksum").is_none() {
                let crc = crc32c(out.iter().chain(&inner));
                out[8..12].copy_from_slice(&crc.to_le_bytes());
            }
        }
        Kind::Icmp | Kind::Icmpv6 => {
            let echo_request = if layer.kind == Kind::Icmp { 8 } else { 128 };
            put(&mut out, 1, number("type", echo_request));
            put(&mut out, 1, number("code", 0));
            put(&mut out, 2, number("checksum", 0));
            put(&mut out, 4, number("rest", 1));
            let pseudo = match layer.kind {
                Kind::Icmp => 0,
                _ => around.pseudo_header(58, 8 + inner.len()),
            };
            fill_checksum(layer, &mut out, 2, pseudo + sum(&inner));
        }
        Kind::Payload => match layer.value("bytes") {
            Some(Value::Bytes(bytes)) => out.extend(bytes),
            _ => out.extend((0..number("length", 0)).map(|at| at.to_be_bytes()[7])),
        },
        Kind::Part | Kind::Cut | Kind::Pad | Kind::Set => {}
    }
    out.extend(inner);
    out
}

fn ports(layer: &Layer, out: &mut Vec<u8>, default: u64) {
    put(out, 2, layer.number("source-port").unwrap_or(40_000));
    put(out, 2, layer.number("port").unwrap_or(default));
}

/// `option-bytes`, with zeros up to a whole word; or `options` bytes of no-operation.
fn options(layer: &Layer) -> Vec<u8> {
    if let Some(Value::Bytes(bytes)) = layer.value("option-bytes") {
        let mut bytes = bytes.clone();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        return bytes;
    }
    vec![1; usize::try_from(layer.number("options").unwrap_or(0)).unwrap_or(0)]
}

fn addresses(layer: &Layer) -> (IpAddr, IpAddr) {
    let (source, destination): (IpAddr, IpAddr) = match layer.kind {
        Kind::Ipv4 => (
            Ipv4Addr::new(192, 0, 2, 1).into(),
            Ipv4Addr::new(203, 0, 113, 9).into(),
        ),
        _ => (
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9).into(),
        ),
    };
    let family = |name: &str, default: IpAddr| {
        let address = layer.address(name).unwrap_or(default);
        assert_eq!(
            address.is_ipv4(),
            default.is_ipv4(),
            "`{address}` is of the wrong family for `{}`",
            layer.kind.word()
        );
        address
    };
    (family("source", source), family("destination", destination))
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Appends the last `width` bytes of `number` in network byte order.
fn put(out: &mut Vec<u8>, width: usize, number: u64) {
    out.extend(&number.to_be_bytes()[8 - width..]);
}

/// The Internet checksum (RFC 1071) of `header` and `rest`, at `at`, unless the field is set.
fn fill_checksum(layer: &Layer, header: &mut [u8], at: usize, rest: u64) {
    if layer.number("checksum").is_some() {
        return;
    }
    let mut total = sum(header) + rest;
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    let mut checksum = 0xffff - total;
    // Zero means "no checksum" in UDP (RFC 768).
    if checksum == 0 && layer.kind == Kind::Udp {
        checksum = 0xffff;
    }
    header[at..at + 2].copy_from_slice(&checksum.to_be_bytes()[6..]);
}

fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0)))
        .sum()
}

/// CRC-32C (RFC 9260, appendix A), bit by bit.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::super::ether;
    use super::*;

    #[test]
    fn checksums_are_those_of_a_capture() {
        // From the example in RFC 1071, section 3.
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0x2ddf0);
        // The check value of CRC-32C.
        assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283);
    }

    #[test]
    fn a_finished_checksum_verifies() {
        let verify = |bytes: &[u8], pseudo: u64| {
            let mut total = sum(bytes) + pseudo;
            while total > 0xffff {
                total = (total & 0xffff) + (total >> 16);
            }
            assert_eq!(total, 0xffff);
        };
        let frame = ether().ipv4().udp(53).payload(5).bytes();
        verify(&frame[14..34], 0);
        verify(&frame[34..], sum(&frame[26..34]) + 17 + 13);
        let frame = ether().ipv6().icmpv6(135, 0).payload(3).bytes();
        verify(&frame[54..], sum(&frame[22..54]) + 58 + 11);
        let frame = ether().ipv6().tcp(80).with("options", 8).bytes();
        verify(&frame[54..], sum(&frame[22..54]) + 6 + 28);
    }

    #[test]
    fn lengths_follow_what_is_inside() {
        let frame = ether()
            .ipv6()
            .layer(Kind::HopByHop)
            .with("size", 16)
            .udp(53)
            .payload(4)
            .bytes();
        assert_eq!(frame.len(), 14 + 40 + 16 + 8 + 4);
        assert_eq!(&frame[18..20], [0, 28]);
        assert_eq!(&frame[54..56], [17, 1]);
        let frame = ether().vlan(5).ipv4().with("options", 4).tcp(80).pad(100).bytes();
        assert_eq!(&frame[12..18], [0x81, 0, 0, 5, 0x08, 0]);
        assert_eq!(&frame[18..22], [0x46, 0, 0, 44]);
        assert_eq!(frame.len(), 100);
    }
}
