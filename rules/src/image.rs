//! The tables of one generation, as the kernel will hold them.
//!
//! Policy → Ir → **`TableImage`** → map. The bytes of this image are what the kernel reads; looking it up here and there
//! is the same code.

use std::fmt;

use ravelin_datapath::Tables;
use ravelin_datapath::wire::{NODE_WORDS, PAGE_WORDS, Page, Plane, RuleEntry, Setting, Settings};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeReport {
    /// Rules compiled.
    pub rules: usize,
    /// Rows they became.
    pub rows: usize,
    /// Bytes of all tables.
    pub bytes: usize,
    /// Classes of protocol, ports, ICMP types and flags together.
    pub service_classes: usize,
    /// IPv4, then IPv6.
    pub families: Vec<FamilyReport>,
}

/// The tables of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyReport {
    /// The family.
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl FamilyReport {
    /// Table reads that one packet of this family can cost at most, the rule's own entry included. `services` is the
    /// number of reads of the service tables.
    #[must_use]
    pub fn worst_reads(&self, services: u32) -> u32 {
        let tries: u32 = self.trie_levels.iter().map(|levels| levels + 2).sum();
        match self.combined {
            Combined::BitVectors { words, .. } => tries + services + 3 * (words + words.div_ceil(64)) + 2,
            Combined::CrossProduct { .. } => tries + services + 3,
            Combined::Nothing => self.trie_levels.first().map_or(0, |levels| levels + 2),
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
