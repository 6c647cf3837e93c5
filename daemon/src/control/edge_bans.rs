//! What the edge may have banned: single sources, and not for long.
//!
//! server → **`edge_bans`** → handler. The edge parses hostile bytes. Whoever takes it over must not be able to shut out whole networks
//! with one request, or anybody for a year.

use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_rules::policy::SourceBan;
use ravelin_rules::read_duration;

use super::bans::NewBan;

/// What is too much in a request of the edge's, in words for it; `None`: nothing is.
pub(super) fn too_much(wanted: &[NewBan]) -> Option<String> {
    let wide = wanted.iter().find(|ban| !is_source(&ban.prefix));
    let long = |ban: &&NewBan| read_duration(&ban.lasts).is_none_or(|lasts| lasts > SourceBan::LONGEST);
    if let Some(ban) = wide {
        return Some(format!(
            "the edge may ban single sources (an IPv4 address, an IPv6 /64 or less), not `{}`",
            ban.prefix
        ));
    }
    wanted.iter().find(long).map(|ban| {
        let most = SourceBan::LONGEST.as_secs() / 86_400;
        format!(
            "the edge may ban for at most {most} days, not for `{}`",
            ban.lasts
        )
    })
}

fn is_source(text: &str) -> bool {
    let prefix = text
        .parse::<IpAddr>()
        .map(IpNet::from)
        .or_else(|_not_alone| text.parse::<IpNet>());
    prefix.is_ok_and(|prefix| match prefix {
        IpNet::V4(prefix) => prefix.prefix_len() == 32,
        IpNet::V6(prefix) => prefix.prefix_len() >= 64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(prefix: &str, lasts: &str) -> NewBan {
        NewBan {
            prefix: prefix.to_owned(),
            lasts: lasts.to_owned(),
            reason: String::new(),
        }
    }

    #[test]
    fn single_sources_for_up_to_a_week_are_not_too_much() {
        for prefix in [
            "192.0.2.7",
            "192.0.2.7/32",
            "2001:db8::/64",
            "2001:db8::1",
            "2001:db8::1/128",
        ] {
            assert_eq!(too_much(&[ban(prefix, "7d")]), None, "{prefix}");
        }
        assert_eq!(too_much(&[]), None);
    }

    #[test]
    fn networks_long_times_and_what_cannot_be_read_are_too_much() {
        for prefix in [
            "192.0.2.6/31",
            "10.0.0.0/8",
            "2001:db8::/63",
            "::/0",
            "",
            "nobody",
        ] {
            let wanted = [ban("192.0.2.7", "1m"), ban(prefix, "1m")];
            let error = too_much(&wanted).unwrap();
            assert!(error.contains("single sources"), "{prefix}: {error}");
        }
        for lasts in ["8d", "365d", "604800001ms", "", "0s", "ever"] {
            let error = too_much(&[ban("192.0.2.7", lasts)]).unwrap();
            assert!(error.contains("at most 7 days"), "{lasts}: {error}");
        }
    }
}
