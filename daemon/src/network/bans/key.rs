//! Prefixes as operators write them, and as keys of the kernel.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ravelin_datapath::packet::Address;
use ravelin_datapath::wire::{BanKey, Plane, Prefix};

/// The keys of a prefix: one, but for the prefix of every address of a family, which is two halves.
#[must_use]
pub fn keys(net: IpNet) -> Vec<BanKey> {
    if net.prefix_len() == 0 {
        return net.subnets(1).into_iter().flatten().map(key).collect();
    }
    vec![key(net)]
}

/// The key of the first `length` bits of an address.
#[must_use]
pub fn key_of(address: IpAddr, length: u8) -> BanKey {
    let (plane, address) = match address {
        IpAddr::V4(address) => (Plane::V4, Address::v4(address.octets())),
        IpAddr::V6(address) => (Plane::V6, Address::v6(address.octets())),
    };
    let length = u32::from(length);
    Prefix { plane, length }.key(address)
}

/// The prefix of a key; `None` for a key that is not ours.
#[must_use]
pub fn prefix([high, low, tag]: BanKey) -> Option<IpNet> {
    let prefix = Prefix::of_tag(tag)?;
    let length = u8::try_from(prefix.length).ok()?;
    Some(match prefix.plane {
        Plane::V4 => {
            let bits = u32::try_from(high >> 32).ok()?;
            IpNet::V4(Ipv4Net::new(bits.into(), length).ok()?)
        }
        Plane::V6 => {
            let bits = u128::from(high) << 64 | u128::from(low);
            IpNet::V6(Ipv6Net::new(bits.into(), length).ok()?)
        }
    })
}

fn key(net: IpNet) -> BanKey {
    key_of(net.network(), net.prefix_len())
}

#[cfg(test)]
mod tests {
    use super::{key_of, keys, prefix};

    #[test]
    fn every_prefix_comes_back_from_its_key() {
        for text in [
            "192.0.2.1/32",
            "192.0.2.0/24",
            "128.0.0.0/1",
            "10.0.0.0/8",
            "2001:db8::1/128",
            "2001:db8::/65",
            "2001:db8::/64",
            "2001:db8::/32",
            "8000::/1",
        ] {
            let net = text.parse().unwrap();
            let [key] = keys(net)[..] else {
                panic!("{text} has one key")
            };
            assert_eq!(prefix(key), Some(net));
            assert_eq!(key_of(net.broadcast(), net.prefix_len()), key, "{text}");
        }
    }

    #[test]
    fn everything_is_two_halves() {
        let halves = keys("0.0.0.0/0".parse().unwrap()).into_iter().map(prefix);
        let halves: Vec<String> = halves.map(|half| half.unwrap().to_string()).collect();
        assert_eq!(halves, ["0.0.0.0/1", "128.0.0.0/1"]);
        assert_eq!(prefix([0, 0, 0]), None);
    }
}
