//! An address condition compiled for looking up: sorted, disjoint ranges and a binary search.
//!
//! A set can hold a million prefixes; trying each on every connection would make a long list a way to slow the listener down.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_rules::policy::{AddressMatch, Element, PrefixSet};

/// The addresses of both families an [`AddressMatch`] holds. The word `self` means nothing to a listener: `check` refuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRanges {
    /// `None`: every address.
    included: Option<Ranges>,
    excluded: Ranges,
}

impl AddressRanges {
    /// Sorts and merges the prefixes of `condition`.
    #[must_use]
    pub fn compile(condition: &AddressMatch) -> Self {
        Self {
            included: condition.include.as_ref().map(Ranges::of),
            excluded: Ranges::of(&condition.exclude),
        }
    }

    /// Whether `address` is inside at the moment `now`, in seconds since 1970.
    #[must_use]
    pub fn contains(&self, address: IpAddr, now: u64) -> bool {
        let included = self.included.as_ref();
        included.is_none_or(|ranges| ranges.contains(address, now)) && !self.excluded.contains(address, now)
    }
}

/// One list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// What ends: a prefix's moment, by prefix length, network bits and family. Few lists have any.
    ending: BTreeMap<(u8, bool), BTreeMap<u128, u64>>,
}

impl Ranges {
    fn of(set: &PrefixSet) -> Self {
        let mut ranges = Self::default();
        for element in set.elements() {
            match (element.expires, element.prefix) {
                (None, IpNet::V4(net)) => ranges
                    .v4
                    .push((net.network().to_bits(), net.broadcast().to_bits())),
                (None, IpNet::V6(net)) => ranges
                    .v6
                    .push((net.network().to_bits(), net.broadcast().to_bits())),
                (Some(_), _) => ranges.add_ending(element),
            }
        }
        merge(&mut ranges.v4);
        merge(&mut ranges.v6);
        ranges
    }

    fn add_ending(&mut self, element: &Element) {
        let end = element.expires.map_or(u64::MAX, |end| end.unix());
        let key = (element.prefix.prefix_len(), element.prefix.addr().is_ipv4());
        let until = self
            .ending
            .entry(key)
            .or_default()
            .entry(bits(element.prefix.network()))
            .or_insert(end);
        *until = end.max(*until);
    }

    fn contains(&self, address: IpAddr, now: u64) -> bool {
        let lasting = match address {
            IpAddr::V4(v4) => holds(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => holds(&self.v6, v6.to_bits()),
        };
        lasting || self.still_contains(address, now)
    }

    /// One look-up for each prefix length there is: at most 33 or 129.
    fn still_contains(&self, address: IpAddr, now: u64) -> bool {
        let lengths = self
            .ending
            .iter()
            .filter(|((_, is_ipv4), _)| *is_ipv4 == address.is_ipv4());
        lengths.into_iter().any(|((length, _), ends)| {
            let network = IpNet::new(address, *length).map(|net| bits(net.network()));
            network.is_ok_and(|network| ends.get(&network).is_some_and(|end| now < *end))
        })
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
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
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::Arc;

    use proptest::prelude::*;
    use ravelin_rules::policy::{List, Origin, Timestamp};

    use super::*;

    fn element(prefix: IpNet, expires: Option<u64>) -> Element {
        Element {
            prefix,
            expires: expires.and_then(Timestamp::from_unix),
            origin: Origin {
                list: Arc::new(List::default()),
                line: 1,
            },
        }
    }

    /// Few bits differ, so that prefixes nest and addresses hit.
    fn address() -> impl Strategy<Value = IpAddr> {
        let four = any::<[u8; 2]>().prop_map(|[high, low]| Ipv4Addr::new(high & 3, 255, low & 7, low).into());
        let six = any::<[u16; 2]>()
            .prop_map(|[high, low]| Ipv6Addr::new(high & 3, 0, 0, 0, 0, 0, low & 7, low).into());
        prop_oneof![four, six]
    }

    fn list() -> impl Strategy<Value = PrefixSet> {
        let element =
            (address(), 0..=128_u8, prop::option::of(100..110_u64)).prop_map(|(address, length, end)| {
                let longest = if address.is_ipv4() { 32 } else { 128 };
                element(IpNet::new(address, length.min(longest)).unwrap().trunc(), end)
            });
        prop::collection::vec(element, 0..8).prop_map(PrefixSet::new)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn ranges_agree_with_the_slow_match_at_every_moment(
            include in prop::option::of(list()),
            exclude in list(),
            addresses in prop::collection::vec(address(), 1..20),
            now in 98..112_u64,
        ) {
            let condition = AddressMatch { include, exclude, ..AddressMatch::default() };
            let ranges = AddressRanges::compile(&condition);
            let elements = condition.exclude.elements().iter();
            let included = condition.include.iter().flat_map(PrefixSet::elements);
            let ends = elements.chain(included).flat_map(|element| [element.prefix.network(), element.prefix.broadcast()]);
            for address in addresses.into_iter().chain(ends) {
                prop_assert_eq!(
                    ranges.contains(address, now),
                    condition.contains(address, &[], now),
                    "{} at {} in {:?}", address, now, condition
                );
            }
        }
    }
}
