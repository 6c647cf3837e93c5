//! A fragment of a packet: what a router makes of it, or somebody with a trick.
//!
//! Layers with a `part` → **layers of the fragment** → bytes. The whole is encoded first, so checksums are those that the host finds
//! when it has put the parts together.

use super::{Kind, Layer, Value, encode};

/// The layers of the fragment that the `part` at `at` cuts out of what stands before it.
///
/// # Panics
/// When nothing before it is an IP header, or the part is not inside of the packet.
#[track_caller]
pub(super) fn cut(layers: &[Layer], at: usize) -> Vec<Layer> {
    let (whole, part) = (&layers[..at], &layers[at]);
    let ip = whole
        .iter()
        .position(|layer| matches!(layer.kind, Kind::Ipv4 | Kind::Ipv6));
    let ip = ip.expect("a part of an IP packet");
    let bytes = encode::frame(whole);
    let header = encode::frame(&whole[..ip]).len();
    let body = &bytes[encode::frame(&whole[..=ip]).len()..];
    let number = |field: &str, default: usize| part.number(field).unwrap_or(default as u64);
    let (from, to) = (number("from", 0), number("to", body.len()));
    let slice = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    let slice = slice.and_then(|(from, to)| body.get(from..to));
    let slice = slice.expect("a part inside of the packet");
    let more = number("more", usize::from(to < body.len() as u64));

    let mut fragment = whole[..=ip].to_vec();
    match whole[ip].kind {
        Kind::Ipv4 => {
            let flags = whole[ip].number("flags").unwrap_or(0) | more;
            let protocol = number("next", bytes[header + 9].into());
            let ip = &mut fragment[ip];
            set(ip, "flags", flags);
            set(ip, "offset", from / 8);
            set(ip, "protocol", protocol);
        }
        _ => {
            let mut layer = Layer {
                kind: Kind::Fragment,
                fields: Vec::new(),
            };
            set(&mut layer, "next", number("next", bytes[header + 6].into()));
            set(&mut layer, "offset", from / 8);
            set(&mut layer, "more", more);
            set(&mut layer, "id", number("id", 1));
            fragment.push(layer);
        }
    }
    fragment.push(Layer {
        kind: Kind::Payload,
        fields: vec![("bytes", Value::Bytes(slice.to_vec()))],
    });
    fragment.extend(layers[at + 1..].iter().cloned());
    fragment
}

/// Whether a packet of these layers is one part of a datagram of several. An atomic fragment (RFC 6946) is not.
pub(super) fn is_one(layers: &[Layer]) -> bool {
    layers.iter().any(|layer| {
        let is = |field| layer.number(field).unwrap_or(0) != 0;
        match layer.kind {
            Kind::Part => true,
            Kind::Ipv4 => layer.number("flags").unwrap_or(0) & 1 == 1 || is("offset"),
            Kind::Fragment => is("more") || is("offset"),
            _ => false,
        }
    })
}

#[track_caller]
fn set(layer: &mut Layer, field: &str, number: u64) {
    layer
        .set(field, Value::Number(number))
        .unwrap_or_else(|message| panic!("{message}"));
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, ether};

    fn parsed(text: &str) -> Packet {
        Packet::parse(text).unwrap_or_else(|message| panic!("{message}"))
    }

    #[test]
    fn the_parts_of_a_packet_are_the_packet() {
        let whole = "ether / ipv4 id=7 / tcp port=443 / payload length=44";
        let parts = ["part from=0 to=24", "part from=24 to=40", "part from=40"];
        let frames = parts.map(|part| parsed(&format!("{whole} / {part}")).bytes());
        let body: Vec<u8> = frames.iter().flat_map(|frame| frame[34..].to_vec()).collect();
        assert_eq!(body, parsed(whole).bytes()[34..]);
        // Total length, identification, flags and offset, protocol.
        assert_eq!(frames[0][16..22], [0, 44, 0, 7, 0x20, 0]);
        assert_eq!(frames[1][16..22], [0, 36, 0, 7, 0x20, 3]);
        assert_eq!(frames[2][16..22], [0, 44, 0, 7, 0, 5]);
        assert_eq!(frames.map(|frame| frame[23]), [6; 3]);
    }

    #[test]
    fn a_part_of_an_ipv6_packet_has_a_fragment_header() {
        let first = parsed("ether / ipv6 / udp port=53 / payload length=24 / part from=0 to=16 id=9").bytes();
        assert_eq!(first[18..21], [0, 24, 44]);
        assert_eq!(first[54..62], [17, 0, 0, 1, 0, 0, 0, 9]);
        assert_eq!(first.len(), 54 + 8 + 16);
        let other =
            parsed("ether / ipv6 / udp port=53 / payload length=24 / part from=16 next=6 more=1").bytes();
        assert_eq!(other[54..62], [6, 0, 0, 17, 0, 0, 0, 1]);
    }

    #[test]
    fn parts_are_told_from_whole_packets() {
        for (text, is_one) in [
            ("ether / ipv4 / tcp", false),
            ("ether / ipv4 flags=6 / tcp", false),
            ("ether / ipv4 flags=3 / tcp", true),
            ("ether / ipv4 offset=1", true),
            ("ether / ipv6 / fragment / tcp", false),
            ("ether / ipv6 / fragment more=1 / tcp", true),
            ("ether / ipv4 / tcp / part from=0 to=8", true),
        ] {
            assert_eq!(parsed(text).is_fragment(), is_one, "{text}");
        }
        assert!(!ether().is_fragment());
    }
}
