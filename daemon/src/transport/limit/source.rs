//! What counts as one source: an IPv4 address, or an IPv6 /64 (what one customer gets, and can draw addresses from at will); and
//! what network it is in, since some customers get a /48, and some hosts a /24.

use std::net::IpAddr;

use ravelin_datapath::wire::SourceLengths;

/// The key of a source in the limiter: 8 bytes for both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(u64);

impl Source {
    /// The source `address` belongs to.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(IPV4 | u64::from(v4.to_bits())),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Self(u64::from(a) << 48 | u64::from(b) << 32 | u64::from(c) << 16 | u64::from(d))
            }
        }
    }

    /// The network of these prefix lengths that it is in.
    #[must_use]
    pub const fn network(self, lengths: SourceLengths) -> Self {
        if self.0 & IPV4 == IPV4 {
            Self(IPV4 | (self.0 & upper(32, lengths.v4)))
        } else {
            Self(self.0 & upper(64, lengths.v6))
        }
    }
}

/// The upper `length` of the last `width` bits.
const fn upper(width: u32, length: u8) -> u64 {
    let lower = width.saturating_sub(length as u32);
    if lower >= 64 { 0 } else { u64::MAX << lower }
}

/// IPv4 addresses stand where IPv6 has multicast (`ff00::/8`), which is never the source of a TCP connection: no two share a key.
const IPV4: u64 = 0xffff_ffff_0000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_64() {
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff::9"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
        assert_ne!(source("0.0.0.1"), source("::1"));
    }

    #[test]
    fn a_network_is_a_prefix_of_either_family() {
        let network = |text| source(text).network(SourceLengths { v4: 22, v6: 48 });
        assert_eq!(network("192.0.4.1"), network("192.0.7.255"));
        assert_ne!(network("192.0.4.1"), network("192.0.8.1"));
        assert_eq!(network("2001:db8:1::1"), network("2001:db8:1:ffff::9"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
        assert_ne!(network("0.0.0.0"), network("::"));
        let narrow = |text| source(text).network(SourceLengths { v4: 31, v6: 63 });
        assert_eq!(narrow("192.0.2.2"), narrow("192.0.2.3"));
        assert_ne!(narrow("192.0.2.1"), narrow("192.0.2.2"));
        assert_eq!(narrow("2001:db8:0:2::"), narrow("2001:db8:0:3::"));
        assert_ne!(narrow("2001:db8:0:1::"), narrow("2001:db8:0:2::"));
    }
}
