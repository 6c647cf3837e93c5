//! Address conditions: unions of prefixes, each with the place it was written.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// What a rule's `source` or `destination` asks.
#[derive(Clone, Debug)]
pub enum AddressMatch {
    /// No condition, or `anywhere`: every address of both families.
    Anywhere,
    /// In the union of these prefixes.
    Prefixes(PrefixSet),
}

impl AddressMatch {
    /// Whether `address` satisfies the condition. Slow and obvious: tries every prefix.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Prefixes(prefixes) => prefixes.element(address).is_some(),
        }
    }
}

/// A union of prefixes. Cheap to clone: sets can hold a million entries and be used by many rules.
#[derive(Clone, Debug, Default)]
pub struct PrefixSet {
    elements: Arc<[Element]>,
}

/// One written prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The prefix, host bits clear.
    pub prefix: IpNet,
    /// Where it was written, for explanations: `policy.toml:12` or `partners.txt:3`, and the set it came through.
    pub origin: Arc<str>,
}

impl PrefixSet {
    /// A set of these elements. An empty set matches nothing.
    #[must_use]
    pub fn new(elements: Vec<Element>) -> Self {
        Self {
            elements: elements.into(),
        }
    }

    /// Every element, in the order written. Overlaps and duplicates are kept.
    #[must_use]
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// The first element that contains `address`.
    #[must_use]
    pub fn element(&self, address: IpAddr) -> Option<&Element> {
        self.elements
            .iter()
            .find(|element| element.prefix.contains(&address))
    }

    /// A key that equal sets share: the prefixes of a small set, the memory of a large one (rules that use the same
    /// `@set` share it, and spelling out a million entries a rule would cost more than a missed match).
    pub(crate) fn key(&self) -> SetKey {
        if self.elements.len() <= 64 {
            SetKey::Prefixes(self.elements.iter().map(|element| element.prefix).collect())
        } else {
            SetKey::Memory(self.elements.as_ptr().addr())
        }
    }
}

/// See [`PrefixSet::key`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum SetKey {
    Memory(usize),
    Prefixes(Vec<IpNet>),
}
