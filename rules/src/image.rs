//! The tables of one generation, as the kernel will hold them.
//!
//! Policy → Ir → **`TableImage`** → map. The bytes of this image are what the kernel reads; looking it up here and there
//! is the same code.

use std::fmt;

use ravelin_datapath::classify::Pairing;
use ravelin_datapath::wire::{LIMIT_WORDS, Limit, Plane, RuleEntry, Setting, Settings};
use ravelin_datapath::{Onto, Tables, Window};

use serde::{Serialize, Serializer};

use crate::compile::Amender;
use crate::policy::RuleName;

/// Compiled tables: constants, words, and the names of the rules that the words mean.
#[derive(Clone, Debug)]
pub struct TableImage {
    settings: Settings,
    pub(crate) words: Vec<u32>,
    rule_names: Vec<RuleName>,
    report: SizeReport,
    pub(crate) amender: Amender,
}

impl TableImage {
    pub(crate) fn new(
        settings: Settings,
        words: Vec<u32>,
        rule_names: Vec<RuleName>,
        report: SizeReport,
        amender: Amender,
    ) -> Self {
        Self {
            settings,
            words,
            rule_names,
            report,
            amender,
        }
    }

    /// Names by rule index, the index of [`ravelin_datapath::Decision::rule`].
    #[must_use]
    pub fn rule_names(&self) -> &[RuleName] {
        &self.rule_names
    }

    /// The constants of the generation.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the tables hold and cost.
    #[must_use]
    pub fn report(&self) -> &SizeReport {
        &self.report
    }

    /// The same tables with another constant. Packets are then judged wrongly: for measurements of what a part costs.
    #[must_use]
    pub fn with(mut self, setting: Setting, word: u32) -> Self {
        self.settings.set(setting, word);
        self
    }

    /// The same tables in another epoch: flows that were let in before are judged again.
    #[must_use]
    pub fn in_epoch(mut self, epoch: u32) -> Self {
        let at = usize::try_from(self.settings.of(Setting::FlowEpoch)).ok();
        if self.settings.of(Setting::FlowsUsed) != 0
            && let Some(word) = at.and_then(|at| self.words.get_mut(at))
        {
            *word = epoch;
        }
        self
    }

    /// The limits of rules, each with the rule's index.
    pub fn limits(&self) -> impl Iterator<Item = (u32, Limit)> {
        let rules = self.settings.of(Setting::Rules);
        let count = u32::try_from(self.rule_names.len()).unwrap_or(0);
        (0..count).filter_map(move |rule| {
            let entry = RuleEntry::unpack(self.word(rules.checked_add(rule)?)?);
            let number = entry.limit.checked_sub(1)?;
            let width = u32::try_from(LIMIT_WORDS).ok()?;
            let at = self
                .settings
                .of(Setting::Limits)
                .checked_add(number.checked_mul(width)?)?;
            Some((rule, Limit::unpack(&self.doubles(at)?)))
        })
    }

    /// The budget of SYNs.
    #[must_use]
    pub fn syn_budget(&self) -> Option<Limit> {
        if self.settings.of(Setting::SynBudgetUsed) == 0 {
            return None;
        }
        let record = self.doubles(self.settings.of(Setting::SynBudget))?;
        Some(Limit::unpack(&record))
    }

    /// How many words the table map holds.
    #[must_use]
    pub fn word_count(&self) -> usize {
        self.words.len()
    }

    /// Writes the words of the table map, in the order of this machine's bytes. `slots` gives each rule, by its index, its
    /// element in the rule counter map.
    pub fn write(&self, slots: &[u32], to: &mut [u8]) {
        let (cells, _) = to.as_chunks_mut();
        for (cell, word) in cells.iter_mut().zip(&self.words) {
            *cell = word.to_ne_bytes();
        }
        let rules = usize::try_from(self.settings.of(Setting::Rules)).unwrap_or(usize::MAX);
        let entries = cells.iter_mut().skip(rules).take(self.rule_names.len());
        for (cell, slot) in entries.zip(slots) {
            let entry = RuleEntry::unpack(u32::from_ne_bytes(*cell));
            *cell = RuleEntry { slot: *slot, ..entry }.pack().to_ne_bytes();
        }
    }
}

impl Tables for TableImage {
    fn setting(&self, setting: Setting) -> u32 {
        self.settings.of(setting)
    }

    fn word(&self, index: u32) -> Option<u32> {
        self.words.get(usize::try_from(index).ok()?).copied()
    }

    fn double(&self, index: u32) -> Option<u64> {
        let low = index.checked_mul(2)?;
        Some(u64::from(self.word(low)?) | u64::from(self.word(low.checked_add(1)?)?) << 32)
    }

    fn doubles<const N: usize>(&self, first: u32) -> Option<[u64; N]> {
        let mut doubles = [0; N];
        for (index, double) in (first..).zip(&mut doubles) {
            *double = self.double(index)?;
        }
        Some(doubles)
    }

    fn window(&self, first: u32, length: u32) -> Option<impl Window> {
        Onto::new(self, first, length)
    }
}

/// What a policy's tables hold and cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SizeReport {
    /// Rules compiled.
    pub rules: usize,
    /// Rows they became.
    pub rows: usize,
    /// Bytes of all tables.
    pub bytes: usize,
    /// Classes of protocol, ports, ICMP types and flags together.
    pub service_classes: usize,
    /// Table reads that finding one of them takes at most.
    pub service_reads: u32,
    /// IPv4, then IPv6.
    pub families: Vec<FamilyReport>,
}

/// The tables of one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FamilyReport {
    /// The family.
    #[serde(rename = "family", serialize_with = "family_name")]
    pub plane: Plane,
    /// Source addresses.
    pub source: AddressReport,
    /// Destination addresses.
    pub destination: AddressReport,
    /// How the classes combine, and why.
    pub combined: Combined,
}

/// The addresses of one dimension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressReport {
    /// Classes: addresses that no rule tells apart share one.
    pub classes: usize,
    /// What maps an address to its class.
    pub trie: TrieReport,
    /// Bytes of the bitmap in front of it, which answers for most addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitmap: Option<u64>,
}

/// What maps an address to its class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrieReport {
    /// A root and pages, each of which consumes the same number of bits.
    Multibit {
        /// Bits that the root consumes.
        root_bits: u32,
        /// Bits that a page consumes.
        stride: u32,
        /// Levels of pages.
        levels: u32,
        /// Distinct pages.
        pages: u32,
    },
    /// Nothing: all addresses are of one class.
    OneClass,
    /// A root whose cells hold the ends of ranges, and more tables where there are too many.
    Ranges {
        /// Bits that the root consumes.
        root_bits: u32,
        /// Ends of ranges that a cell holds.
        keys: u32,
        /// Tables and lines below the root that one address goes through, at most.
        levels: u32,
        /// Tables and lines below the root.
        nodes: u32,
        /// Table reads that one address takes, at most.
        reads: u32,
    },
}

impl AddressReport {
    /// Table reads that one address takes at most.
    #[must_use]
    pub fn reads(&self) -> u32 {
        self.trie.reads() + u32::from(self.bitmap.is_some())
    }
}

impl TrieReport {
    /// Table reads that one address takes at most.
    #[must_use]
    pub const fn reads(&self) -> u32 {
        match self {
            Self::Multibit { levels, .. } => 1 + *levels,
            Self::OneClass => 0,
            Self::Ranges { reads, .. } => *reads,
        }
    }
}

impl fmt::Display for AddressReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} classes, ", self.classes)?;
        if let Some(bytes) = self.bitmap {
            write!(f, "bitmap of {} KiB before a ", bytes >> 10)?;
        }
        match &self.trie {
            TrieReport::Multibit {
                root_bits,
                stride,
                levels,
                pages,
            } => {
                write!(
                    f,
                    "multibit trie of {root_bits} + {levels} × {stride} bits, {pages} pages"
                )
            }
            TrieReport::OneClass => write!(f, "no lookup"),
            TrieReport::Ranges {
                root_bits,
                keys,
                levels,
                nodes,
                ..
            } => write!(
                f,
                "range trie of {root_bits} bits with {keys} keys a cell, {nodes} nodes in {levels} levels below"
            ),
        }
    }
}

/// How the classes of a family combine to the first matching rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combined {
    /// By bit vectors, because a cross product would not fit the budget.
    BitVectors {
        /// 64-bit words of rules in a vector.
        words: u32,
    },
    /// By two table reads, or three.
    CrossProduct {
        /// The dimensions that are paired first.
        #[serde(serialize_with = "pairing_name")]
        paired: Pairing,
        /// Pairs of their classes.
        pairs: u64,
        /// Rows: pairs that meet the same share one.
        rows: u64,
        /// Cells of a tile, when rows are cut into tiles.
        tile: Option<u32>,
        /// Cells of all tables.
        cells: u64,
    },
    /// No rule reaches this family.
    Nothing,
}

impl SizeReport {
    /// Table reads that one packet of a family can cost at most, the matched rule's own entry included.
    #[must_use]
    pub fn worst_reads(&self, family: &FamilyReport) -> u32 {
        let [source, destination] = [&family.source, &family.destination].map(AddressReport::reads);
        match family.combined {
            Combined::BitVectors { words, .. } => {
                source + destination + self.service_reads + 3 * (words + words.div_ceil(64)) + 2
            }
            Combined::CrossProduct { tile, .. } => {
                source + destination + self.service_reads + 3 + u32::from(tile.is_some())
            }
            Combined::Nothing => source,
        }
    }
}

impl fmt::Display for Combined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BitVectors { words } => write!(
                f,
                "bit vectors of {words} words: a cross product does not fit the budget"
            ),
            Self::CrossProduct {
                paired,
                pairs,
                rows,
                tile,
                cells,
            } => {
                write!(
                    f,
                    "cross product of {cells} cells: {pairs} pairs of {} share {rows} rows",
                    paired.words()
                )?;
                match tile {
                    None => Ok(()),
                    Some(tile) => write!(f, " in tiles of {tile}"),
                }
            }
            Self::Nothing => write!(f, "nothing: no rule reaches this family"),
        }
    }
}

fn pairing_name<S: Serializer>(pairing: &Pairing, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(pairing.words())
}

fn family_name<S: Serializer>(plane: &Plane, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match plane {
        Plane::V4 => "IPv4",
        Plane::V6 => "IPv6",
    })
}
