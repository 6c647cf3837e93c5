//! An address condition compiled for looking up: sorted, disjoint ranges and a binary search.
//!
//! A set can hold a million prefixes; trying each on every connection would make a long list a way to slow the listener down.

use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_rules::policy::{AddressMatch, PrefixSet};

/// The addresses of both families an [`AddressMatch`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRanges {
    everything: bool,
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl AddressRanges {
    /// Sorts and merges the prefixes of `condition`.
    #[must_use]
    pub fn compile(condition: &AddressMatch) -> Self {
        let mut ranges = Self {
            everything: false,
            v4: Vec::new(),
            v6: Vec::new(),
        };
        ranges.everything = condition.include.is_none();
        let prefixes = condition.include.as_ref().map_or(&[][..], PrefixSet::elements);
        for element in prefixes {
            match element.prefix {
                IpNet::V4(net) => ranges
                    .v4
                    .push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => ranges
                    .v6
                    .push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        merge(&mut ranges.v4);
        merge(&mut ranges.v6);
        ranges
    }

    /// Whether `address` is inside.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.everything
            || match address {
                IpAddr::V4(v4) => holds(&self.v4, v4.to_bits()),
                IpAddr::V6(v6) => holds(&self.v6, v6.to_bits()),
            }
    }
}

/// Sorts and joins overlapping ranges, so that first and last addresses both ascend.
fn merge<A: Copy + Ord>(ranges: &mut Vec<(A, A)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
    ranges.shrink_to_fit();
}

fn holds<A: Copy + Ord>(ranges: &[(A, A)], address: A) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after
        .checked_sub(1)
        .and_then(|last| ranges.get(last))
        .is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ravelin_rules::policy::{Element, List, Origin, PrefixSet};

    use super::*;

    fn condition(prefixes: &[&str]) -> AddressMatch {
        let element = |text: &&str| Element {
            prefix: text.parse().unwrap(),
            expires: None,
            origin: Origin {
                list: Arc::new(List::default()),
                line: 1,
            },
        };
        AddressMatch::among(PrefixSet::new(prefixes.iter().map(element).collect()))
    }

    #[test]
    fn ranges_agree_with_the_slow_match_at_every_boundary() {
        let conditions = [
            condition(&[]),
            condition(&["0.0.0.0/0"]),
            condition(&[
                "192.0.2.0/24",
                "192.0.2.128/25",
                "198.51.100.7/32",
                "192.0.3.0/24",
            ]),
            condition(&["2001:db8::/32", "2001:db8:1::/48", "::1/128", "203.0.113.0/29"]),
            AddressMatch::anywhere(),
        ];
        let addresses = [
            "0.0.0.0",
            "192.0.1.255",
            "192.0.2.0",
            "192.0.2.127",
            "192.0.2.255",
            "192.0.3.0",
            "192.0.3.255",
            "192.0.4.0",
            "198.51.100.6",
            "198.51.100.7",
            "198.51.100.8",
            "203.0.113.7",
            "203.0.113.8",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "2001:db8::",
            "2001:db8:1::5",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "::ffff:192.0.2.1",
        ];
        for condition in &conditions {
            let ranges = AddressRanges::compile(condition);
            for address in addresses.map(|text| text.parse::<IpAddr>().unwrap()) {
                assert_eq!(
                    ranges.contains(address),
                    condition.contains(address, &[], 0),
                    "{address} in {condition:?}"
                );
            }
        }
    }
}
