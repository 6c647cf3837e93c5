//! The PROXY protocol header, version 2: tells the upstream who the client is and what it asked for.
//!
//! handshake → **encode** → upstream. Written from what the socket and the handshake say, never from what a client
//! claims of itself. <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::net::{IpAddr, SocketAddr};

use ravelin_rules::policy::ProxyHeader as Wanted;
use rustls::CipherSuite;

use crate::metrics::labels::Version;

/// What the header says.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct ProxyHeader<'a> {
    /// The client's address.
    pub(in crate::transport) client: SocketAddr,
    /// The address it connected to.
    pub(in crate::transport) local: SocketAddr,
    /// The server name it asked for.
    pub(in crate::transport) server_name: Option<&'a str>,
    /// The application protocol that was agreed on.
    pub(in crate::transport) alpn: Option<&'a [u8]>,
    /// The TLS session; `None`: it is not ended here.
    pub(in crate::transport) tls: Option<Secured<'a>>,
}

/// What was agreed on with the client.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct Secured<'a> {
    /// The TLS version.
    pub(in crate::transport) version: Version,
    /// The cipher suite.
    pub(in crate::transport) cipher: Option<CipherSuite>,
    /// Where the client has shown a certificate that lets it in: the common name, if it has one.
    pub(in crate::transport) common_name: Option<Option<&'a str>>,
}

/// The header of a connection that is made for no client: a health check (section 2.1 `UNKNOWN`, section 2.2 `LOCAL`).
pub(in crate::transport) fn own_connection(wanted: Wanted) -> Vec<u8> {
    match wanted {
        Wanted::Off => Vec::new(),
        Wanted::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
        Wanted::V2 => [&SIGNATURE[..], &[VERSION_2_LOCAL, UNSPECIFIED, 0, 0]].concat(),
    }
}

impl ProxyHeader<'_> {
    /// The bytes that go before the relayed ones.
    pub(in crate::transport) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(256);
        let family = match (self.client.ip().to_canonical(), self.local.ip().to_canonical()) {
            (IpAddr::V4(client), IpAddr::V4(local)) => {
                body.extend(client.octets());
                body.extend(local.octets());
                TCP_OVER_IPV4
            }
            (client, local) => {
                body.extend(v6(client));
                body.extend(v6(local));
                TCP_OVER_IPV6
            }
        };
        body.extend(self.client.port().to_be_bytes());
        body.extend(self.local.port().to_be_bytes());
        if let Some(alpn) = self.alpn {
            field(&mut body, TYPE_ALPN, alpn);
        }
        if let Some(name) = self.server_name {
            field(&mut body, TYPE_AUTHORITY, name.as_bytes());
        }
        if let Some(tls) = &self.tls {
            field(&mut body, TYPE_SSL, &tls.ssl());
        }

        let mut header = Vec::with_capacity(16 + body.len());
        header.extend(SIGNATURE);
        header.push(VERSION_2_PROXY);
        header.push(family);
        header.extend(length(&body));
        header.extend(body);
        header
    }
}

impl Secured<'_> {
    fn ssl(&self) -> Vec<u8> {
        let (client, verify) = match self.common_name {
            // No session is resumed where certificates are asked for: it was shown on this connection.
            Some(_) => (CLIENT_SSL | CLIENT_CERT_CONN | CLIENT_CERT_SESS, VERIFIED),
            None => (CLIENT_SSL, NOT_VERIFIED),
        };
        let mut ssl = vec![client];
        ssl.extend(verify.to_be_bytes());
        let version = match self.version {
            Version::Tls12 => "TLSv1.2",
            Version::Tls13 => "TLSv1.3",
        };
        field(&mut ssl, SUBTYPE_SSL_VERSION, version.as_bytes());
        if let Some(name) = self.common_name.flatten() {
            field(&mut ssl, SUBTYPE_SSL_CN, name.as_bytes());
        }
        if let Some(name) = self.cipher.as_ref().and_then(CipherSuite::as_str) {
            // The names of the IANA registry; rustls marks those of TLS 1.3 in its own way.
            field(
                &mut ssl,
                SUBTYPE_SSL_CIPHER,
                name.replacen("TLS13_", "TLS_", 1).as_bytes(),
            );
        }
        ssl
    }
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn field(to: &mut Vec<u8>, kind: u8, value: &[u8]) {
    to.push(kind);
    to.extend(length(value));
    to.extend(value);
}

/// Server names end at 255 bytes, ALPN protocols at 255, common names at 256, cipher names are ours: no length comes near 65,535.
fn length(value: &[u8]) -> [u8; 2] {
    debug_assert!(value.len() <= usize::from(u16::MAX));
    u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes()
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_2_PROXY: u8 = 0x21;
/// Version 2, command LOCAL.
const VERSION_2_LOCAL: u8 = 0x20;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const TYPE_ALPN: u8 = 0x01;
const TYPE_AUTHORITY: u8 = 0x02;
const TYPE_SSL: u8 = 0x20;
const SUBTYPE_SSL_VERSION: u8 = 0x21;
const SUBTYPE_SSL_CN: u8 = 0x22;
const SUBTYPE_SSL_CIPHER: u8 = 0x23;
/// The client connected over TLS.
const CLIENT_SSL: u8 = 0x01;
/// It has shown a certificate on this connection.
const CLIENT_CERT_CONN: u8 = 0x02;
/// It has shown one in this TLS session.
const CLIENT_CERT_SESS: u8 = 0x04;
/// A certificate was shown and verified.
const VERIFIED: u32 = 0;
/// None was shown. One that cannot be verified never gets as far as this.
const NOT_VERIFIED: u32 = 1;

#[cfg(test)]
mod tests {
    use super::super::{Ends, Header, Origin, parse};
    use super::*;

    #[test]
    fn a_header_is_laid_out_as_the_protocol_says() {
        let header = ProxyHeader {
            client: "192.0.2.1:4660".parse().unwrap(),
            local: "198.51.100.2:443".parse().unwrap(),
            server_name: Some("a.example"),
            alpn: Some(b"h2"),
            tls: Some(Secured {
                version: Version::Tls13,
                cipher: Some(CipherSuite::TLS13_AES_128_GCM_SHA256),
                common_name: None,
            }),
        };
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x48".to_vec();
        expected.extend([192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0x01, 0xbb]);
        expected.extend(b"\x01\x00\x02h2\x02\x00\x09a.example");
        expected
            .extend(b"\x20\x00\x28\x01\x00\x00\x00\x01\x21\x00\x07TLSv1.3\x23\x00\x16TLS_AES_128_GCM_SHA256");
        assert_eq!(header.encode(), expected);
    }

    #[test]
    fn a_client_that_was_verified_is_named() {
        let header = ProxyHeader {
            client: "192.0.2.1:4660".parse().unwrap(),
            local: "198.51.100.2:443".parse().unwrap(),
            server_name: None,
            alpn: None,
            tls: Some(Secured {
                version: Version::Tls13,
                cipher: None,
                common_name: Some(Some("billing")),
            }),
        };
        let named = b"\x20\x00\x19\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x22\x00\x07billing";
        assert_eq!(header.encode()[28..], *named);
        let unnamed = ProxyHeader {
            tls: header.tls.map(|tls| Secured {
                common_name: Some(None),
                ..tls
            }),
            ..header
        };
        assert_eq!(
            unnamed.encode()[28..],
            *b"\x20\x00\x0f\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3"
        );
    }

    #[test]
    fn an_ipv6_client_fills_the_ipv6_form() {
        let header = ProxyHeader {
            client: "[2001:db8::1]:1".parse().unwrap(),
            local: "[2001:db8::2]:2".parse().unwrap(),
            server_name: None,
            alpn: None,
            tls: Some(Secured {
                version: Version::Tls12,
                cipher: None,
                common_name: None,
            }),
        };
        let bytes = header.encode();
        assert_eq!(bytes[13], 0x21);
        assert_eq!(bytes[14..16], [0, 36 + 3 + 5 + 10]);
        assert_eq!(bytes[16..20], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(bytes[48..52], [0, 1, 0, 2]);
        assert_eq!(bytes.len(), 16 + 54);
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(
            client: (IpAddr, u16),
            local: (IpAddr, u16),
            name in proptest::option::of("[a-z.]{1,255}"),
            ended: bool,
            follows: Vec<u8>,
        ) {
            let header = ProxyHeader {
                client: client.into(),
                local: local.into(),
                server_name: name.as_deref(),
                alpn: Some(b"h2"),
                tls: ended.then_some(Secured { version: Version::Tls13, cipher: None, common_name: None }),
            };
            let canonical = |(address, port): (IpAddr, u16)| SocketAddr::new(address.to_canonical(), port);
            let ends = Ends { client: canonical(client), local: canonical(local) };
            let mut bytes = header.encode();
            let length = bytes.len();
            bytes.extend(follows);
            proptest::prop_assert_eq!(parse(&bytes), Ok(Header { length, origin: Origin::V2(ends) }));
        }
    }
}
