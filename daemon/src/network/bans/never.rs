//! What the live policy never bans: refuses bans of it, and tells the kernel.

use std::net::IpAddr;

use aya::maps::{HashMap, MapData, MapError};
use ipnet::IpNet;
use ravelin_datapath::wire::{BanKey, Lengths, Prefix};
use ravelin_rules::Policy;

use super::key;

/// The kernel's map of them; each generation has its own.
pub const NEVER_BAN: &str = "NEVER_BAN";

/// The program's global with the lengths of the prefixes in it.
pub const NEVER_BAN_LENGTHS: &str = "NEVER_BAN_LENGTHS";

/// The entries of `[never_ban]`, without those inside others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Never(Vec<IpNet>);

impl Never {
    /// Those of a policy.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let elements = policy.never_ban.elements().iter();
        let mut prefixes: Vec<IpNet> = elements.map(|element| element.prefix).collect();
        prefixes.sort_unstable_by_key(|prefix| (prefix.network(), prefix.prefix_len()));
        let mut kept: Vec<IpNet> = Vec::new();
        for prefix in prefixes {
            if kept.last().is_none_or(|last| !last.contains(&prefix)) {
                kept.push(prefix);
            }
        }
        Self(kept)
    }

    /// The entry that holds all of `prefix`.
    #[must_use]
    pub fn holding(&self, prefix: &IpNet) -> Option<&IpNet> {
        let before = self
            .0
            .partition_point(|entry| entry.network() <= prefix.network());
        let entry = self.0.get(before.checked_sub(1)?)?;
        entry.contains(prefix).then_some(entry)
    }

    /// The entry that covers the address.
    #[must_use]
    pub fn covering(&self, address: IpAddr) -> Option<&IpNet> {
        self.holding(&IpNet::from(address))
    }

    /// The keys of the kernel's map.
    #[must_use]
    pub fn keys(&self) -> Vec<BanKey> {
        self.0.iter().flat_map(|prefix| key::keys(*prefix)).collect()
    }
}

/// The lengths of the prefixes of these keys.
#[must_use]
pub fn lengths(keys: &[BanKey]) -> [u64; Lengths::COUNT] {
    let mut lengths = [0; Lengths::COUNT];
    for prefix in keys.iter().filter_map(|key| Prefix::of_tag(key[2])) {
        let (word, bit) = prefix.length_mark();
        lengths[word as usize] |= bit;
    }
    lengths
}

/// Fills the map of a generation that judges nothing yet.
///
/// # Errors
///
/// When the kernel refuses.
pub fn fill(map: &mut HashMap<&mut MapData, BanKey, u32>, keys: &[BanKey]) -> Result<(), MapError> {
    keys.iter().try_for_each(|key| map.insert(key, 1, 0))
}

#[cfg(test)]
mod tests {
    use ravelin_rules::load_text;

    use super::Never;

    #[test]
    fn an_entry_is_found_by_what_it_holds() {
        let text = "[never_ban]\nentries = [\"192.0.2.0/24\", \"192.0.2.7\", \"198.51.100.1\", \"2001:db8::/32\"]\n[firewall]\nstateful = false\n";
        let never = Never::of(&load_text(text).unwrap().policy);
        let holding = |text: &str| never.holding(&text.parse().unwrap()).map(ToString::to_string);
        assert_eq!(holding("192.0.2.7/32").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(holding("192.0.2.128/25").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(holding("192.0.0.0/16"), None);
        assert_eq!(holding("192.0.3.1/32"), None);
        assert_eq!(holding("198.51.100.1/32").as_deref(), Some("198.51.100.1/32"));
        assert_eq!(holding("2001:db8:1::/48").as_deref(), Some("2001:db8::/32"));
        assert_eq!(holding("::/1"), None);
        assert_eq!(never.keys().len(), 3);
    }
}
