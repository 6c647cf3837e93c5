//! The PROXY protocol header, version 1: the addresses, in a line of text.
//!
//! handshake → **encode** → upstream. <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt> section 2.1

use std::net::{IpAddr, Ipv6Addr};

use super::ProxyHeader;

impl ProxyHeader<'_> {
    /// The line that goes before the relayed bytes. At most 107 bytes: two of the longest addresses and ports.
    pub(in crate::transport) fn encode_v1(&self) -> Vec<u8> {
        let ports = format!("{} {}", self.client.port(), self.local.port());
        let line = match (self.client.ip().to_canonical(), self.local.ip().to_canonical()) {
            (IpAddr::V4(client), IpAddr::V4(local)) => format!("PROXY TCP4 {client} {local} {ports}\r\n"),
            (client, local) => format!("PROXY TCP6 {} {} {ports}\r\n", v6(client), v6(local)),
        };
        line.into_bytes()
    }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(client: &str, local: &str) -> String {
        let header = ProxyHeader {
            client: client.parse().unwrap(),
            local: local.parse().unwrap(),
            server_name: Some("a.example"),
            alpn: Some(b"h2"),
            tls: None,
        };
        String::from_utf8(header.encode_v1()).unwrap()
    }

    #[test]
    fn the_line_is_what_the_protocol_says() {
        assert_eq!(
            line("192.0.2.1:4660", "198.51.100.2:443"),
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n"
        );
        assert_eq!(
            line("[2001:db8::1]:1", "[2001:db8::2]:65535"),
            "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"
        );
        assert_eq!(
            line("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2"),
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
        );
        assert_eq!(
            line("192.0.2.1:1", "[2001:db8::2]:2"),
            "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n"
        );
    }

    #[test]
    fn the_longest_line_is_within_the_protocol_s_107_bytes() {
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        assert_eq!(line(longest, longest).len(), 104);
    }
}
