//! Ir → the words that go into the table map, and a report of their size.
//!
//! `Policy → Ir → `**`TableImage`**. Every dimension becomes classes (`partition`, `dimension`), addresses become tries
//! (`trie`), protocol, ports and flags become the service (`service`), and the three combine (`combine`). The reader of
//! all this is `ravelin_datapath::classify`.

mod bits;
mod combine;
mod dimension;
mod partition;
mod service;
mod trie;
mod words;

use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_datapath::classify::{Combine, SourceClass};
use ravelin_datapath::wire::{ABI, Plane, RULE_SLOTS, RuleEntry, Setting, Settings};
use ravelin_datapath::{ParseClass, Verdict};

use self::bits::Bits;
pub use self::combine::Budget;
use self::combine::{Classes, Combination};
use self::dimension::Conditions;
use self::partition::{Partition, Run, Span};
use self::trie::Trie;
use self::words::Words;
use crate::image::{Combined, FamilyReport, SizeReport, TableImage};
use crate::ir::Row;
use crate::lower::lower;
use crate::policy::{Mode, PrefixSet};
use crate::{Direction, HostFacts, Policy};

/// Why a valid policy has no tables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The tables would take more memory than a generation may have.
    #[error("the tables would take more than {mebibytes} MiB; write fewer or wider prefixes")]
    TooLarge {
        /// The limit.
        mebibytes: u32,
    },
    /// Too many rules to combine within the memory budget.
    #[error(
        "{rows} rules with too many address combinations for cross-product tables, and bit vectors hold {limit}; move addresses that share a verdict into one `[[set]]`"
    )]
    TooManyRules {
        /// Rows of the policy.
        rows: usize,
        /// The limit.
        limit: u32,
    },
    /// More rules than the kernel has counters for.
    #[error(
        "{rules} rules, and the counter map holds {limit}; move addresses that share a verdict into one `[[set]]`"
    )]
    TooManyCounters {
        /// Rules of the policy.
        rules: usize,
        /// The limit.
        limit: u32,
    },
}

impl TableImage {
    /// Compiles what a policy says of packets of one direction, for this host.
    ///
    /// # Errors
    ///
    /// [`CompileError`] when the policy does not fit the bounds of a generation.
    pub fn compile(policy: &Policy, host: &HostFacts, direction: Direction) -> Result<Self, CompileError> {
        Self::compile_within(policy, host, direction, Budget::default())
    }

    /// Compiles a policy, with a budget for cross products: 0 makes every family combine by bit vectors.
    ///
    /// # Errors
    ///
    /// [`CompileError`] when the policy does not fit the bounds of a generation.
    pub fn compile_within(
        policy: &Policy,
        host: &HostFacts,
        direction: Direction,
        budget: Budget,
    ) -> Result<Self, CompileError> {
        if policy.rules.len() > RULE_SLOTS as usize {
            return Err(CompileError::TooManyCounters {
                rules: policy.rules.len(),
                limit: RULE_SLOTS,
            });
        }
        let ir = lower(&policy.rules);
        let mut words = Words::default();
        let mut settings = Settings::default();
        settings.set(Setting::Abi, ABI);
        settings.set(Setting::Enforce, (policy.firewall.mode == Mode::Enforce).into());
        settings.set(Setting::Essentials, policy.firewall.essentials.into());
        settings.set(Setting::Default, policy.firewall.default_of(direction) as u32);
        for class in ParseClass::ALL {
            settings.set_class(*class, policy.firewall.classes.of(*class));
        }
        let actions: Vec<u32> = policy
            .rules
            .iter()
            .map(|rule| {
                RuleEntry {
                    verdict: rule.action.verdict().unwrap_or(Verdict::Deny),
                    slot: 0,
                }
                .pack()
            })
            .collect();
        settings.set(Setting::Rules, words.table(&actions)?);

        let services = service::write(&ir.rows, &mut words, &mut settings)?;
        let mut families = Vec::new();
        for plane in Plane::ALL {
            let report = family(
                plane,
                &ir.rows,
                &services,
                host,
                budget,
                &mut words,
                &mut settings,
            )?;
            families.push(report);
        }
        let words = words.into_inner();
        let report = SizeReport {
            rules: policy.rules.len(),
            rows: ir.rows.len(),
            bytes: words.len() * size_of::<u32>(),
            service_classes: services.len(),
            service_reads: service::reads(&settings),
            families,
        };
        let rule_names = policy.rules.iter().map(|rule| rule.name.clone()).collect();
        Ok(Self::new(settings, words, rule_names, report))
    }
}

/// Writes the tables of one family.
fn family(
    plane: Plane,
    rows: &[Row],
    services: &[Bits],
    host: &HostFacts,
    budget: Budget,
    words: &mut Words,
    settings: &mut Settings,
) -> Result<FamilyReport, CompileError> {
    // A row that cannot match in this family must not win in it: it satisfies no source class.
    let reaches: Vec<bool> = rows.iter().map(|row| row.reaches(plane)).collect();
    let used = reaches.contains(&true);
    let here = |row: &Row| row.reaches(plane);
    let sources = Conditions::collect(
        rows.iter().map(|row| row.source.as_ref()),
        PrefixSet::key,
        |set| spans(plane, set),
    );
    let destinations = Conditions::collect(
        rows.iter()
            .map(|row| row.destination.as_ref().filter(|_| here(row))),
        PrefixSet::key,
        |set| spans(plane, set),
    );

    let spoofed = sources.sets.len();
    let mut source_sets = sources.sets.clone();
    source_sets.push(spoofed_spans(plane, host));
    let source_partition = Partition::of(&source_sets);
    let mut source_rows = sources.rows_of(&source_partition);
    for class in &mut source_rows {
        for (row, reaches) in reaches.iter().enumerate().filter(|(_, reaches)| !**reaches) {
            class.set(row, *reaches);
        }
    }
    let (source_runs, source_rows) = numbered(&source_partition, &source_rows, |class| {
        if class.contains(spoofed) {
            SourceClass::SPOOFED
        } else {
            0
        }
    });
    let source_trie = trie::write(&source_runs, words)?;
    set_trie(
        settings,
        plane,
        [
            Setting::SourceRootBits4,
            Setting::SourceRoot4,
            Setting::SourceLevels4,
        ],
        source_trie,
    );

    let destination_partition = Partition::of(&destinations.sets);
    let destination_rows = destinations.rows_of(&destination_partition);
    let (destination_runs, destination_rows) = numbered(&destination_partition, &destination_rows, |_| 0);
    let mut report = FamilyReport {
        plane,
        source_classes: source_rows.len(),
        destination_classes: destination_rows.len(),
        trie_nodes: source_trie.nodes,
        trie_levels: [source_trie.levels, 0],
        combined: Combined::Nothing,
    };
    if !used {
        return Ok(report);
    }
    let destination_trie = trie::write(&destination_runs, words)?;
    set_trie(
        settings,
        plane,
        [
            Setting::DestinationRootBits4,
            Setting::DestinationRoot4,
            Setting::DestinationLevels4,
        ],
        destination_trie,
    );
    let classes = Classes {
        sources: &source_rows,
        destinations: &destination_rows,
        services,
    };
    let Combination {
        combine,
        sources,
        destinations,
        services,
        width,
        rows: matches,
        cells,
    } = combine::write(classes, rows, budget, words)?;
    let at = |setting| in_plane(setting, plane);
    settings.set(at(Setting::Combine4), combine as u32);
    settings.set(at(Setting::Sources4), sources);
    settings.set(at(Setting::Destinations4), destinations);
    settings.set(at(Setting::Services4), services);
    settings.set(at(Setting::Width4), width);
    settings.set(at(Setting::Rows4), matches);
    report.trie_nodes += destination_trie.nodes;
    report.trie_levels[1] = destination_trie.levels;
    report.combined = match combine {
        Combine::Nothing => Combined::Nothing,
        Combine::CrossProduct => Combined::CrossProduct { cells },
        Combine::BitVectors => Combined::BitVectors {
            words: width,
            cells_over: cells,
            budget: budget.cells,
        },
    };
    Ok(report)
}

/// Renumbers classes so that those which satisfy the same rows are one, and marks the words of the runs.
fn numbered(partition: &Partition, rows: &[Bits], mark: impl Fn(&Bits) -> u32) -> (Vec<Run>, Vec<Bits>) {
    let mut classes = bits::Interner::default();
    let words: Vec<u32> = partition
        .classes
        .iter()
        .zip(rows)
        .map(|(sets, rows)| classes.number(rows.clone()) | mark(sets))
        .collect();
    let mut runs: Vec<Run> = Vec::with_capacity(partition.runs.len());
    for run in &partition.runs {
        let class = usize::try_from(run.class)
            .ok()
            .and_then(|class| words.get(class))
            .copied()
            .unwrap_or(0);
        if runs.last().is_none_or(|last| last.class != class) {
            runs.push(Run {
                first: run.first,
                class,
            });
        }
    }
    (runs, classes.into_sets())
}

/// The setting of the family, from its IPv4 name.
fn in_plane(setting: Setting, plane: Plane) -> Setting {
    let index = setting as usize + plane as usize;
    Setting::ALL.get(index).copied().unwrap_or(setting)
}

fn set_trie(settings: &mut Settings, plane: Plane, [bits, root, levels]: [Setting; 3], trie: Trie) {
    settings.set(in_plane(bits, plane), trie.root_bits);
    settings.set(in_plane(root, plane), trie.root);
    settings.set(in_plane(levels, plane), trie.levels);
}

fn spans(plane: Plane, set: &PrefixSet) -> Vec<Span> {
    set.elements()
        .iter()
        .filter_map(|element| span(plane, element.prefix))
        .collect()
}

/// Sources that cannot come from the wire (`docs/semantics.md`, section 7).
fn spoofed_spans(plane: Plane, host: &HostFacts) -> Vec<Span> {
    let fixed = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::1/128", "ff00::/8"];
    let fixed = fixed.iter().filter_map(|prefix| prefix.parse().ok());
    let own = host.addresses().map(IpNet::from);
    fixed
        .chain(own)
        .filter_map(|prefix| span(plane, prefix))
        .collect()
}

/// The prefix on the address line, when it is of this family.
fn span(plane: Plane, prefix: IpNet) -> Option<Span> {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    match (plane, prefix) {
        (Plane::V4, IpNet::V4(_)) | (Plane::V6, IpNet::V6(_)) => {
            let first = bits(prefix.network());
            Some(Span {
                first,
                last: first | u128::MAX.checked_shr(prefix.prefix_len().into()).unwrap_or(0),
            })
        }
        _ => None,
    }
}
