//! A PROXY protocol header, version 1 or 2, in the first bytes of a connection.
//!
//! bytes of a trusted proxy → **parse** → whom it speaks for. A pure function of bytes that grow: it says how many it needs, reads
//! nothing behind the header, and guesses nothing: what is not a header to the letter is none.
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its bytes; what follows is the client's.
    pub length: usize,
    /// What it says.
    pub origin: Origin,
}

/// Whom a header speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client, in version 1.
    V1(Ends),
    /// A client, in version 2.
    V2(Ends),
    /// The proxy itself (`LOCAL`), or somebody it does not know (`UNKNOWN`): the addresses are those of the socket.
    Local,
}

/// The two ends of the connection that the proxy accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who connected. An IPv4 address in IPv6 clothes is the IPv4 address.
    pub client: SocketAddr,
    /// Where to.
    pub local: SocketAddr,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparsed {
    /// It goes on: no header before there are this many bytes. They may show before that there will be none.
    Incomplete(usize),
    /// The bytes are something else.
    Missing,
    /// It begins like one, and breaks the rules.
    Malformed,
    /// It is longer than it may be.
    TooLong,
    /// Its checksum is of other bytes.
    BadChecksum,
}

/// Reads the header that `bytes` begin with.
///
/// # Errors
///
/// [`Unparsed`]; only `Incomplete` may change with more bytes.
pub fn parse(bytes: &[u8]) -> Result<Header, Unparsed> {
    match (starts(bytes, V1_START), starts(bytes, &V2_START)) {
        (false, false) => Err(Unparsed::Missing),
        (true, _) if bytes.len() >= V1_START.len() => v1(bytes),
        (_, true) if bytes.len() >= V2_START.len() => v2(bytes),
        // The shortest header of either version is longer than both starts.
        _ => Err(Unparsed::Incomplete(V2_START.len())),
    }
}

/// Whether the bytes are `start`, or may become it.
fn starts(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n`.
fn v1(bytes: &[u8]) -> Result<Header, Unparsed> {
    let line = bytes.get(..MAX_V1_BYTES).unwrap_or(bytes);
    let end = match line.iter().position(|byte| !(b' '..=b'~').contains(byte)) {
        None if line.len() < MAX_V1_BYTES => return Err(Unparsed::Incomplete(line.len() + 1)),
        None => return Err(Unparsed::TooLong),
        Some(end) => end,
    };
    match line.get(end..).unwrap_or_default() {
        b"\r" if line.len() < MAX_V1_BYTES => return Err(Unparsed::Incomplete(end + 2)),
        b"\r" => return Err(Unparsed::TooLong),
        [b'\r', b'\n', ..] => {}
        _ => return Err(Unparsed::Malformed),
    }
    let words = line.get(V1_START.len()..end).unwrap_or_default();
    let origin = std::str::from_utf8(words).ok().and_then(v1_origin);
    Ok(Header {
        length: end + 2,
        origin: origin.ok_or(Unparsed::Malformed)?,
    })
}

fn v1_origin(words: &str) -> Option<Origin> {
    let mut words = words.split(' ');
    let address: fn(&str) -> Option<IpAddr> = match words.next()? {
        // What follows is to be ignored.
        "UNKNOWN" => return Some(Origin::Local),
        "TCP4" => |word| word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |word| word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (client, local) = (address(words.next()?)?, address(words.next()?)?);
    let (client_port, local_port) = (port(words.next()?)?, port(words.next()?)?);
    words
        .next()
        .is_none()
        .then(|| Origin::V1(ends((client, client_port), (local, local_port))))
}

/// Decimal, without a sign or a zero in front.
fn port(word: &str) -> Option<u16> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

fn v2(bytes: &[u8]) -> Result<Header, Unparsed> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED_BYTES>() else {
        return Err(Unparsed::Incomplete(V2_FIXED_BYTES));
    };
    let [.., version_command, family, high, low] = *fixed;
    if !matches!(version_command, V2_LOCAL | V2_PROXY) {
        return Err(Unparsed::Malformed);
    }
    let body_length = usize::from(u16::from_be_bytes([high, low]));
    let length = V2_FIXED_BYTES + body_length;
    if length > MAX_V2_BYTES {
        return Err(Unparsed::TooLong);
    }
    let body = rest.get(..body_length).ok_or(Unparsed::Incomplete(length))?;
    let header = bytes.get(..length).unwrap_or_default();
    let origin = match (version_command, family) {
        (V2_LOCAL, _) | (_, UNSPECIFIED) => Origin::Local,
        (_, TCP_OVER_IPV4) => Origin::V2(addresses::<4, 12>(header, body)?),
        (_, TCP_OVER_IPV6) => Origin::V2(addresses::<16, 36>(header, body)?),
        // Datagrams and Unix sockets do not come by TCP.
        _ => return Err(Unparsed::Malformed),
    };
    Ok(Header { length, origin })
}

/// Two addresses of `ADDRESS` bytes and two ports, `BLOCK` bytes in all, then extensions.
fn addresses<const ADDRESS: usize, const BLOCK: usize>(header: &[u8], body: &[u8]) -> Result<Ends, Unparsed>
where
    IpAddr: From<[u8; ADDRESS]>,
{
    let read = || {
        let (client, rest) = body.split_first_chunk::<ADDRESS>()?;
        let (local, rest) = rest.split_first_chunk::<ADDRESS>()?;
        let (client_port, rest) = rest.split_first_chunk::<2>()?;
        let (local_port, _) = rest.split_first_chunk::<2>()?;
        Some(ends(
            (IpAddr::from(*client), u16::from_be_bytes(*client_port)),
            (IpAddr::from(*local), u16::from_be_bytes(*local_port)),
        ))
    };
    let ends = read().ok_or(Unparsed::Malformed)?;
    check_extensions(header, V2_FIXED_BYTES + BLOCK)?;
    Ok(ends)
}

fn ends(client: (IpAddr, u16), local: (IpAddr, u16)) -> Ends {
    let socket = |(address, port): (IpAddr, u16)| SocketAddr::new(address.to_canonical(), port);
    Ends {
        client: socket(client),
        local: socket(local),
    }
}

/// Type, length, value, from `at` to the end of the header. Only the checksum says anything here; the others are skipped.
fn check_extensions(header: &[u8], mut at: usize) -> Result<(), Unparsed> {
    let mut checksum = None;
    while let Some((kind, rest)) = header.get(at..).and_then(<[u8]>::split_first) {
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(Unparsed::Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let value = rest.get(..length).ok_or(Unparsed::Malformed)?;
        at += EXTENSION_FIXED_BYTES;
        if *kind == TYPE_CRC32C {
            let value = <[u8; 4]>::try_from(value).map_err(|_other_length| Unparsed::Malformed)?;
            if checksum.replace((at, u32::from_be_bytes(value))).is_some() {
                return Err(Unparsed::Malformed);
            }
        }
        at += length;
    }
    let Some((at, expected)) = checksum else {
        return Ok(());
    };
    // Of the header with zeros in the place of the checksum.
    let before = header.get(..at).unwrap_or_default();
    let after = header.get(at + 4..).unwrap_or_default();
    let crc = [before, &[0; 4], after].into_iter().fold(!0, crc32c);
    if !crc == expected {
        Ok(())
    } else {
        Err(Unparsed::BadChecksum)
    }
}

/// CRC-32C (RFC 3720, appendix B.4), without the inversions at both ends.
fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (CASTAGNOLI & (crc & 1).wrapping_neg())
        })
    })
}

const V1_START: &[u8] = b"PROXY ";

/// The longest header there can be, with both IPv6 addresses written out. Without an end by then it is none: a peer must not fill
/// memory with a line that never ends.
pub const MAX_V1_BYTES: usize = 107;

const V2_START: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Start, version and command, family, length.
const V2_FIXED_BYTES: usize = 16;

/// With everything in it. The length field would allow sixteen times as much, for every connection of a peer at once.
pub const MAX_V2_BYTES: usize = 4096;

/// Version 2, command LOCAL.
const V2_LOCAL: u8 = 0x20;
/// Version 2, command PROXY.
const V2_PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// Type and length of an extension.
const EXTENSION_FIXED_BYTES: usize = 3;
const TYPE_CRC32C: u8 = 0x03;

/// The polynomial of CRC-32C, bits reversed.
const CASTAGNOLI: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(bytes: &[u8]) -> Result<Origin, Unparsed> {
        let header = parse(bytes)?;
        assert_eq!(header.length, bytes.len());
        Ok(header.origin)
    }

    fn ends(client: &str, local: &str) -> Ends {
        Ends {
            client: client.parse().unwrap(),
            local: local.parse().unwrap(),
        }
    }

    /// A header of version 2.
    fn v2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = V2_START.to_vec();
        header.extend([version_command, family]);
        header.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        header.extend(body);
        header
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0x01, 0xbb];

    #[test]
    fn the_examples_of_the_protocol_are_read() {
        for (line, expected) in [
            (
                "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
                ends("255.255.255.255:65535", "255.255.255.255:65535"),
            ),
            (
                "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
                ends("192.168.0.1:56324", "192.168.0.11:443"),
            ),
            (
                "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                ends(
                    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                ),
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 0 1\r\n",
                ends("192.0.2.1:0", "[2001:db8::2]:1"),
            ),
        ] {
            assert_eq!(origin(line.as_bytes()), Ok(Origin::V1(expected)), "{line}");
        }
        let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        assert_eq!(longest.len(), MAX_V1_BYTES);
        for unknown in ["PROXY UNKNOWN\r\n", longest] {
            assert_eq!(origin(unknown.as_bytes()), Ok(Origin::Local));
        }
    }

    #[test]
    fn other_lines_are_malformed() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443 5\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 4660 443\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.2 4660 443\r\n",
            "PROXY TCP4 192.0.2 198.51.100.2 4660 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 04660 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +4660 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660 \r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 4660 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 4660 443\r\n",
            "PROXY TCP6 [2001:db8::1] [2001:db8::2] 4660 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 4660 443\r\n",
            "PROXY tcp4 192.0.2.1 198.51.100.2 4660 443\r\n",
            "PROXY TCP4\t192.0.2.1 198.51.100.2 4660 443\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(origin(line.as_bytes()), Err(Unparsed::Malformed), "{line:?}");
        }
        for other in [
            "GET / HTTP/1.1\r\n",
            "proxy TCP4",
            "PROXX",
            "\x16\x03\x01",
            "\r\n\r\n\0\r\nQUIX",
        ] {
            assert_eq!(origin(other.as_bytes()), Err(Unparsed::Missing), "{other:?}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_too_long_at_107_bytes() {
        let mut line = b"PROXY UNKNOWN ".to_vec();
        line.resize(MAX_V1_BYTES - 1, b'x');
        assert_eq!(parse(&line), Err(Unparsed::Incomplete(MAX_V1_BYTES)));
        for (last, expected) in [(b'x', Unparsed::TooLong), (b'\r', Unparsed::TooLong)] {
            let mut line = line.clone();
            line.push(last);
            assert_eq!(parse(&line), Err(expected));
            line.push(b'\n');
            assert_eq!(parse(&line), Err(expected));
        }
    }

    #[test]
    fn version_2_is_read_with_extensions_that_nobody_knows() {
        let expected = Ok(Origin::V2(ends("192.0.2.1:4660", "198.51.100.2:443")));
        assert_eq!(origin(&v2(V2_PROXY, TCP_OVER_IPV4, &V4)), expected);
        let body = [&V4[..], b"\xee\x00\x03abc\x04\x00\x00\x05\x00\x01x"].concat();
        assert_eq!(origin(&v2(V2_PROXY, TCP_OVER_IPV4, &body)), expected);
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        v6[26..28].copy_from_slice(&[0xff; 2]);
        v6[28..32].copy_from_slice(&[192, 0, 2, 9]);
        v6[33] = 7;
        v6[35] = 8;
        assert_eq!(
            origin(&v2(V2_PROXY, TCP_OVER_IPV6, &v6)),
            Ok(Origin::V2(ends("[2001:db8::]:7", "192.0.2.9:8")))
        );
        for (command, family, body) in [
            (V2_LOCAL, UNSPECIFIED, &[][..]),
            (V2_LOCAL, TCP_OVER_IPV4, &V4),
            (V2_LOCAL, 0xff, b"whatever"),
            (V2_PROXY, UNSPECIFIED, b""),
        ] {
            assert_eq!(origin(&v2(command, family, body)), Ok(Origin::Local));
        }
    }

    #[test]
    fn version_2_that_breaks_a_rule_is_malformed() {
        let unix = [0; 216];
        for (command, family, body) in [
            (0x11, TCP_OVER_IPV4, &V4[..]),
            (0x31, TCP_OVER_IPV4, &V4),
            (0x22, TCP_OVER_IPV4, &V4),
            (V2_PROXY, TCP_OVER_IPV4, &V4[..11]),
            (V2_PROXY, TCP_OVER_IPV6, &V4),
            (V2_PROXY, 0x12, &V4),
            (V2_PROXY, 0x31, &unix),
            (V2_PROXY, 0x32, &unix),
            (V2_PROXY, TCP_OVER_IPV4, &[&V4[..], b"\x04"].concat()),
            (V2_PROXY, TCP_OVER_IPV4, &[&V4[..], b"\x04\x00"].concat()),
            (V2_PROXY, TCP_OVER_IPV4, &[&V4[..], b"\x04\x00\x02x"].concat()),
            (V2_PROXY, TCP_OVER_IPV4, &[&V4[..], b"\x03\x00\x03xyz"].concat()),
        ] {
            let header = v2(command, family, body);
            assert_eq!(parse(&header), Err(Unparsed::Malformed), "{header:x?}");
        }
        let mut long = v2(V2_PROXY, TCP_OVER_IPV4, &V4);
        long[14..16].copy_from_slice(&4080_u16.to_be_bytes());
        assert_eq!(parse(&long), Err(Unparsed::Incomplete(MAX_V2_BYTES)));
        long[14..16].copy_from_slice(&4081_u16.to_be_bytes());
        assert_eq!(parse(&long), Err(Unparsed::TooLong));
    }

    #[test]
    fn a_checksum_is_checked_where_there_is_one() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        for after in [&b""[..], b"\x04\x00\x01x"] {
            let zeroed = v2(
                V2_PROXY,
                TCP_OVER_IPV4,
                &[&V4[..], b"\x03\x00\x04\0\0\0\0", after].concat(),
            );
            let mut header = zeroed.clone();
            header[31..35].copy_from_slice(&(!crc32c(!0, &zeroed)).to_be_bytes());
            assert!(matches!(origin(&header), Ok(Origin::V2(_))));
            // All but the byte that says that there is a checksum.
            for at in (16..28).chain(29..header.len()) {
                let mut damaged = header.clone();
                damaged[at] ^= 1;
                assert!(parse(&damaged).is_err(), "byte {at}");
            }
            header[20] ^= 0x80;
            assert_eq!(parse(&header), Err(Unparsed::BadChecksum));
        }
        let twice = [&V4[..], b"\x03\x00\x04\0\0\0\0\x03\x00\x04\0\0\0\0"].concat();
        assert_eq!(
            parse(&v2(V2_PROXY, TCP_OVER_IPV4, &twice)),
            Err(Unparsed::Malformed)
        );
    }

    #[test]
    fn part_of_a_header_asks_for_more_and_what_follows_is_left_alone() {
        for header in [
            b"PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n".to_vec(),
            v2(V2_PROXY, TCP_OVER_IPV4, &V4),
            v2(V2_LOCAL, UNSPECIFIED, b""),
        ] {
            for length in 0..header.len() {
                let Err(Unparsed::Incomplete(needed)) = parse(&header[..length]) else {
                    panic!("{length} bytes were enough")
                };
                assert!((length + 1..=header.len()).contains(&needed));
            }
            let followed = [&header[..], &header[..]].concat();
            assert_eq!(parse(&followed).unwrap().length, header.len());
        }
    }
}
