//! The tables of one generation, as the kernel will hold them.
//!
//! Policy → Ir → **`TableImage`** → map. The bytes of this image are what the kernel reads; looking it up here and there
//! is the same code.

use std::fmt;

use ravelin_datapath::Tables;
use ravelin_datapath::wire::{NODE_WORDS, PAGE_WORDS, Page, Plane, RuleEntry, Setting, Settings};

use serde::{Serialize, Serializer};

use crate::policy::RuleName;

/// Compiled tables: constants, words, and the names of the rules that the words mean.
#[derive(Clone, Debug)]
pub struct TableImage {
    settings: Settings,
    words: Vec<u32>,
    rule_names: Vec<RuleName>,
    report: SizeReport,
}

impl TableImage {
    pub(crate) fn new(
        settings: Settings,
        words: Vec<u32>,
        rule_names: Vec<RuleName>,
        report: SizeReport,
    ) -> Self {
        Self {
            settings,
            words,
            rule_names,
            report,
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

    /// How many elements the table map needs.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.words.len().div_ceil(PAGE_WORDS).max(1)
    }

    /// The elements of the table map. `slots` gives each rule, by its index, its element in the rule counter map.
    #[must_use]
    pub fn pages(&self, slots: &[u32]) -> Vec<Page> {
        let rules = usize::try_from(self.settings.of(Setting::Rules)).unwrap_or(0);
        let mut pages: Vec<Page> = Vec::with_capacity(self.words.len().div_ceil(PAGE_WORDS));
        for words in self.words.chunks(PAGE_WORDS) {
            let mut page = [0; PAGE_WORDS];
            for (to, from) in page.iter_mut().zip(words) {
                *to = *from;
            }
            pages.push(page);
        }
        for (index, slot) in slots.iter().take(self.rule_names.len()).enumerate() {
            let place = rules + index;
            if let Some(word) = pages
                .get_mut(place / PAGE_WORDS)
                .and_then(|page| page.get_mut(place % PAGE_WORDS))
            {
                *word = RuleEntry {
                    slot: *slot,
                    ..RuleEntry::unpack(*word)
                }
                .pack();
            }
        }
        if pages.is_empty() {
            pages.push([0; PAGE_WORDS]);
        }
        pages
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

    fn node(&self, index: u32) -> Option<[u32; NODE_WORDS]> {
        let first = usize::try_from(index).ok()?.checked_mul(NODE_WORDS)?;
        self.words.get(first..)?.first_chunk().copied()
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
    /// Classes of source addresses.
    pub source_classes: usize,
    /// Classes of destination addresses.
    pub destination_classes: usize,
    /// Nodes of both tries.
    pub trie_nodes: u32,
    /// Levels of the source and the destination trie, the root not counted.
    pub trie_levels: [u32; 2],
    /// How the classes combine, and why.
    pub combined: Combined,
}

/// How the classes of a family combine to the first matching rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combined {
    /// By bit vectors, because a cross product would not fit the budget.
    BitVectors {
        /// 64-bit words of rules in a vector.
        words: u32,
        /// Cells a cross product would have, at least.
        cells_over: u64,
        /// Cells it may have.
        budget: u64,
    },
    /// By two table reads.
    CrossProduct {
        /// Cells of both tables.
        cells: u64,
    },
    /// No rule reaches this family.
    Nothing,
}

impl SizeReport {
    /// Table reads that one packet of a family can cost at most, the matched rule's own entry included.
    #[must_use]
    pub fn worst_reads(&self, family: &FamilyReport) -> u32 {
        let [source, destination] = family.trie_levels;
        // A root, the levels below it, a leaf.
        let tries = [source, destination].map(|levels| if levels == 0 { 1 } else { levels + 2 });
        match family.combined {
            Combined::BitVectors { words, .. } => {
                tries.iter().sum::<u32>() + self.service_reads + 3 * (words + words.div_ceil(64)) + 2
            }
            Combined::CrossProduct { .. } => tries.iter().sum::<u32>() + self.service_reads + 3,
            Combined::Nothing => source + 2,
        }
    }
}

impl fmt::Display for Combined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BitVectors {
                words,
                cells_over,
                budget,
            } => {
                write!(
                    f,
                    "bit vectors of {words} words (a cross product needs {cells_over} cells or more; the budget is {budget})"
                )
            }
            Self::CrossProduct { cells } => write!(f, "cross product of {cells} cells"),
            Self::Nothing => write!(f, "nothing: no rule reaches this family"),
        }
    }
}

fn family_name<S: Serializer>(plane: &Plane, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match plane {
        Plane::V4 => "IPv4",
        Plane::V6 => "IPv6",
    })
}
