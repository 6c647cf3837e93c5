//! One address or prefix: `192.0.2.1`, `2001:db8::/32`.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::diagnostic::{Code, quote};

/// Why a text is not a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrefixError {
    /// Bits behind the prefix length are set; the prefix without them.
    HostBits(IpNet),
    /// The family's prefixes end at this length.
    Length(u8),
    /// A netmask instead of a length; the prefix that was meant.
    Netmask(Ipv4Net),
    /// Not an address in front of the length, or not a length.
    NotAnAddress,
}

/// Reads an address, which is a prefix of full length, or a prefix without host bits.
///
/// # Errors
///
/// What is wrong, with the prefix that was probably meant where there is one.
pub(crate) fn parse(text: &str) -> Result<IpNet, PrefixError> {
    let Some((address, length)) = text.split_once('/') else {
        let address: IpAddr = text.parse().map_err(|_refused| PrefixError::NotAnAddress)?;
        return Ok(address.into());
    };
    let address: IpAddr = address.parse().map_err(|_refused| PrefixError::NotAnAddress)?;
    let full = if address.is_ipv4() { 32 } else { 128 };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(netmask(address, length).unwrap_or(PrefixError::NotAnAddress));
    }
    // What overflows a byte is too long as well.
    let length = length.parse().unwrap_or(u8::MAX);
    let prefix = IpNet::new(address, length).map_err(|_too_long| PrefixError::Length(full))?;
    let corrected = prefix.trunc();
    if corrected == prefix {
        Ok(prefix)
    } else {
        Err(PrefixError::HostBits(corrected))
    }
}

fn netmask(address: IpAddr, mask: &str) -> Option<PrefixError> {
    let (IpAddr::V4(address), Ok(mask)) = (address, mask.parse::<Ipv4Addr>()) else {
        return None;
    };
    let prefix = Ipv4Net::with_netmask(address, mask).ok()?;
    Some(PrefixError::Netmask(prefix.trunc()))
}

impl PrefixError {
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::HostBits(_) => Code::HostBits,
            Self::Length(_) => Code::PrefixLength,
            Self::Netmask(_) | Self::NotAnAddress => Code::BadAddress,
        }
    }

    /// What was found.
    pub(crate) fn message(self, text: &str) -> String {
        let text = quote(text);
        match self {
            Self::HostBits(_) => format!("prefix {text} has host bits set"),
            Self::Length(full) => format!("prefix {text} is longer than its {full} address bits"),
            Self::Netmask(_) => format!("prefix {text} has a netmask instead of a length"),
            Self::NotAnAddress => format!("{text} is not an address or a prefix"),
        }
    }

    /// What to write instead.
    pub(crate) fn help(self, text: &str) -> String {
        match self {
            Self::HostBits(corrected) => {
                let address = text.split('/').next().unwrap_or_default();
                format!("write `{corrected}` for the whole prefix, or `{address}` for the one address")
            }
            Self::Length(full) => format!("write a length from 0 to {full} behind the `/`"),
            Self::Netmask(prefix) => format!("write `{prefix}`"),
            Self::NotAnAddress => {
                "write it like `192.0.2.1`, `192.0.2.0/24`, `2001:db8::1` or `2001:db8::/32`".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_prefixes_of_both_families_are_read() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::1", "2001:db8::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1/128"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn host_bits_come_with_the_corrected_prefix() {
        let corrected = "10.0.0.0/8".parse().unwrap();
        assert_eq!(parse("10.1.2.3/8"), Err(PrefixError::HostBits(corrected)));
        let corrected = "2001:db8::/33".parse().unwrap();
        assert_eq!(parse("2001:db8::1/33"), Err(PrefixError::HostBits(corrected)));
    }

    #[test]
    fn lengths_beyond_the_family_are_refused() {
        assert_eq!(parse("192.0.2.1/33"), Err(PrefixError::Length(32)));
        assert_eq!(parse("192.0.2.1/4294967328"), Err(PrefixError::Length(32)));
        assert_eq!(parse("2001:db8::/129"), Err(PrefixError::Length(128)));
        assert!(parse("192.0.2.1/32").is_ok() && parse("2001:db8::/128").is_ok());
    }

    #[test]
    fn a_netmask_is_translated() {
        let prefix = "10.0.0.0/8".parse().unwrap();
        assert_eq!(parse("10.0.0.1/255.0.0.0"), Err(PrefixError::Netmask(prefix)));
        assert_eq!(parse("10.0.0.1/255.0.255.0"), Err(PrefixError::NotAnAddress));
    }

    #[test]
    fn other_texts_are_not_addresses() {
        for text in [
            "",
            "/",
            "/8",
            "192.0.2",
            "192.0.2.1/",
            "192.0.2.1/+8",
            "192.0.2.1/ 8",
            "192.0.2.01",
            "192.0.2.1/8/8",
            "fe80::1%eth0",
            "example.com",
            " 192.0.2.1",
            "1::2::3",
            "::1/255.0.0.0",
        ] {
            assert_eq!(parse(text), Err(PrefixError::NotAnAddress), "{text}");
        }
    }
}
