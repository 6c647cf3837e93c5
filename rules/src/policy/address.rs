//! Address conditions: unions of prefixes less exceptions, each prefix with the place it was written.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::Timestamp;

/// What a rule's `source` or `destination` asks: the address is among the included ones and not among the excluded ones.
#[derive(Clone, Debug, Default)]
pub struct AddressMatch {
    /// The union of these prefixes. `None`: every address of both families, `anywhere`.
    pub include: Option<PrefixSet>,
    /// And the addresses of the packet's interface: the word `self`. Nothing to add when `include` is `None`.
    pub include_self: bool,
    /// Less these prefixes: the words with `!`. They win over what is included, wherever they stand in the list.
    pub exclude: PrefixSet,
    /// And less the addresses of the packet's interface: `!self`.
    pub exclude_self: bool,
}

impl AddressMatch {
    /// No condition.
    #[must_use]
    pub fn anywhere() -> Self {
        Self::default()
    }

    /// These prefixes and nothing else.
    #[must_use]
    pub fn among(prefixes: PrefixSet) -> Self {
        Self {
            include: Some(prefixes),
            ..Self::default()
        }
    }

    /// Whether every address of both families satisfies it.
    #[must_use]
    pub fn is_anywhere(&self) -> bool {
        self.include.is_none() && !self.excludes()
    }

    /// Whether `address` satisfies it at the second `now` (Unix time) on an interface that holds `own`. Slow and obvious:
    /// tries every prefix.
    #[must_use]
    pub fn contains(&self, address: IpAddr, own: &[IpAddr], now: u64) -> bool {
        let among = |set: &PrefixSet| {
            let mut elements = set.elements().iter();
            elements.any(|element| element.lives_at(now) && element.prefix.contains(&address))
        };
        let mine = own.contains(&address);
        let included = self.include.as_ref().is_none_or(among) || self.include_self && mine;
        included && !among(&self.exclude) && !(self.exclude_self && mine)
    }

    /// Whether it has exceptions.
    #[must_use]
    pub fn excludes(&self) -> bool {
        self.exclude_self || !self.exclude.elements().is_empty()
    }

    /// Whether it depends on the addresses of the interface.
    #[must_use]
    pub fn mentions_self(&self) -> bool {
        self.include_self || self.exclude_self
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
    /// The prefix, host bits clear. A range `a-b` is written as the fewest prefixes that make it up.
    pub prefix: IpNet,
    /// From this second on the element is not there. `None`: it stays.
    pub expires: Option<Timestamp>,
    /// Where it was written, for explanations.
    pub origin: Origin,
}

/// Where an element was written: `policy.toml:12`, or `partners.txt:3 (@partners)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, and the set it came through; one for all elements of a file.
    pub list: Arc<List>,
    /// 1-based; 0 when the file has no lines to speak of.
    pub line: u32,
}

/// A file that elements were written in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// The set that its elements belong to; `None`: a rule or a listener names them itself.
    pub set: Option<String>,
    /// It is a set file, not a policy file.
    pub feed: bool,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.list.file.display(), self.line)?;
        match &self.list.set {
            // The prefixes of a VPC are not a set: a set's name has no colon.
            Some(vpc) if vpc.starts_with("vpc:") => write!(f, " ({vpc})"),
            Some(set) => write!(f, " (@{set})"),
            None => Ok(()),
        }
    }
}

impl Element {
    /// Whether the element is there at the second `now`.
    #[must_use]
    pub fn lives_at(&self, now: u64) -> bool {
        self.expires.is_none_or(|end| now < end.unix())
    }
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

    /// A key that equal sets share: the elements of a small set, the memory of a large one (rules that use the same
    /// `@set` share it, and spelling out a million entries a rule would cost more than a missed match).
    pub(crate) fn key(&self) -> SetKey {
        if self.elements.len() <= 64 {
            let element = |element: &Element| (element.prefix, element.expires);
            SetKey::Prefixes(self.elements.iter().map(element).collect())
        } else {
            SetKey::Memory(self.elements.as_ptr().addr())
        }
    }
}

/// See [`PrefixSet::key`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum SetKey {
    Memory(usize),
    Prefixes(Vec<(IpNet, Option<Timestamp>)>),
}
