//! A reader of PROXY headers, written from the protocol's text and not from the edge's writer.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// The connection is the proxy's own: `UNKNOWN`, or the command LOCAL.
    Own,
    /// Source and destination, and the type-length-value fields of version 2.
    Proxied {
        source: SocketAddr,
        destination: SocketAddr,
        fields: Vec<(u8, Vec<u8>)>,
    },
}

/// Reads a line of version 1, and no byte behind it.
pub(crate) async fn read_v1<S: AsyncRead + Unpin>(stream: &mut S) -> Header {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        assert!(line.len() < 107, "longer than the protocol allows: {line:?}");
        line.push(stream.read_u8().await.expect("a whole line"));
    }
    let line = std::str::from_utf8(&line).expect("text").trim_end_matches("\r\n");
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN"] => Header::Own,
        [
            "PROXY",
            family,
            source,
            destination,
            source_port,
            destination_port,
        ] => {
            let socket = |address: &str, port: &str| {
                let address: IpAddr = address.parse().expect("an address");
                assert_eq!(family, if address.is_ipv4() { "TCP4" } else { "TCP6" }, "{line}");
                SocketAddr::new(address, port.parse().expect("a port"))
            };
            Header::Proxied {
                source: socket(source, source_port),
                destination: socket(destination, destination_port),
                fields: Vec::new(),
            }
        }
        _ => panic!("not a header of version 1: {line:?}"),
    }
}

/// Reads a header of version 2, and no byte behind it.
pub(crate) async fn read_v2<S: AsyncRead + Unpin>(stream: &mut S) -> Header {
    let mut start = [0; 16];
    stream.read_exact(&mut start).await.expect("a whole header");
    assert_eq!(start[..12], *b"\r\n\r\n\0\r\nQUIT\n", "the signature");
    let length = usize::from(u16::from_be_bytes([start[14], start[15]]));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a whole header");
    match (start[12], start[13]) {
        (0x20, _) => return Header::Own,
        (0x21, 0x11) => {}
        other => panic!("not PROXY with TCP over IPv4: {other:?}"),
    }
    let socket = |address: &[u8], port: &[u8]| {
        let octets: [u8; 4] = address.try_into().expect("four bytes");
        SocketAddr::from((octets, u16::from_be_bytes(port.try_into().expect("two bytes"))))
    };
    let (source, destination) = (
        socket(&body[..4], &body[8..10]),
        socket(&body[4..8], &body[10..12]),
    );
    let mut fields = Vec::new();
    let mut rest = &body[12..];
    while let [kind, high, low, behind @ ..] = rest {
        let (value, next) = behind.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        fields.push((*kind, value.to_vec()));
        rest = next;
    }
    assert!(rest.is_empty(), "half a field: {rest:?}");
    Header::Proxied {
        source,
        destination,
        fields,
    }
}
