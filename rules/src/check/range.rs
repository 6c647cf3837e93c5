//! A range of addresses, `192.0.2.1-192.0.2.9`, as the fewest prefixes that make it up.

use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

use super::prefix::{self, PrefixError};
use crate::diagnostic::{Code, quote};

/// Why a text is not an address, a prefix or a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryError {
    Prefix(PrefixError),
    /// The first address is above the last; the range that was probably meant.
    Backwards(IpAddr, IpAddr),
    /// One end is IPv4, the other IPv6.
    Families,
}

/// Reads an address, a prefix or a range.
pub(crate) fn parse(text: &str) -> Result<Vec<IpNet>, EntryError> {
    let Some((first, last)) = ends(text) else {
        return prefix::parse(text)
            .map(|prefix| vec![prefix])
            .map_err(EntryError::Prefix);
    };
    if first > last && first.is_ipv4() == last.is_ipv4() {
        return Err(EntryError::Backwards(last, first));
    }
    let subnets = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => IpSubnets::V4(Ipv4Subnets::new(first, last, 0)),
        (IpAddr::V6(first), IpAddr::V6(last)) => IpSubnets::V6(Ipv6Subnets::new(first, last, 0)),
        _ => return Err(EntryError::Families),
    };
    Ok(subnets.collect())
}

/// Both ends, when the text is two addresses with a dash between them.
fn ends(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (first, last) = text.split_once('-')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

impl EntryError {
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::Prefix(error) => error.code(),
            Self::Backwards(..) | Self::Families => Code::BadRange,
        }
    }

    /// What was found.
    pub(crate) fn message(self, text: &str) -> String {
        match self {
            Self::Prefix(error) => error.message(text),
            Self::Backwards(..) => format!("range {} ends before it begins", quote(text)),
            Self::Families => format!(
                "range {} begins in one address family and ends in the other",
                quote(text)
            ),
        }
    }

    /// What to write instead.
    pub(crate) fn help(self, text: &str) -> String {
        match self {
            Self::Prefix(error) => error.help(text),
            Self::Backwards(first, last) => format!("write `{first}-{last}`"),
            Self::Families => "write one range for IPv4 and one for IPv6".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_the_fewest_prefixes() {
        let prefixes =
            |text: &str| -> Vec<String> { parse(text).unwrap().iter().map(ToString::to_string).collect() };
        assert_eq!(
            prefixes("192.0.2.1-192.0.2.4"),
            ["192.0.2.1/32", "192.0.2.2/31", "192.0.2.4/32"]
        );
        assert_eq!(prefixes("0.0.0.0 - 255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(prefixes("192.0.2.7-192.0.2.7"), ["192.0.2.7/32"]);
        assert_eq!(prefixes("2001:db8::-2001:db8::ff"), ["2001:db8::/120"]);
        assert_eq!(prefixes("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ["::/0"]);
        assert_eq!(prefixes("192.0.2.0/24"), ["192.0.2.0/24"]);
    }

    #[test]
    fn what_is_no_range_says_why() {
        assert_eq!(parse("192.0.2.9-2001:db8::1"), Err(EntryError::Families));
        assert!(matches!(
            parse("192.0.2.9-192.0.2.1"),
            Err(EntryError::Backwards(..))
        ));
        assert!(matches!(
            parse("a-b"),
            Err(EntryError::Prefix(PrefixError::NotAnAddress))
        ));
        assert!(matches!(
            parse("192.0.2.0/24-192.0.3.0/24"),
            Err(EntryError::Prefix(_))
        ));
    }
}
