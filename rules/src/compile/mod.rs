//! Ir → the words that go into the table map, and a report of their size.
//!
//! `Policy → Ir → `**`TableImage`**. Every dimension becomes classes (`partition`, `dimension`), addresses become tries
//! (`address`), protocol, ports and flags become the service (`service`), and the three combine (`combine`). The reader of
//! all this is `ravelin_datapath::classify`.

mod address;
mod amend;
mod bitmap;
mod bits;
mod combine;
mod context;
mod dimension;
mod flows;
mod latency;
mod limits;
mod multibit;
mod pairs;
mod partition;
mod proxied;
mod ranges;
mod service;
mod side;
mod spoofed;
mod walk;
mod words;

use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_datapath::wire::{ABI, Plane, RULE_SLOTS, RuleEntry, Setting, Settings};
use ravelin_datapath::{ParseClass, Verdict};

use self::address::Trie;
pub use self::amend::{Amender, Patch};
use self::bits::Bits;
use self::combine::Classes;
pub use self::combine::{Budget, Strategy};
use self::partition::Span;
pub(crate) use self::partition::merged;
use self::side::{Numbers, Side};
pub(crate) use self::spoofed::Spoofed;
use self::walk::Walk;
use self::words::Words;
use crate::image::{Combined, FamilyReport, SizeReport, TableImage};
use crate::ir::Addresses;
use crate::lower::lower;
use crate::policy::{Mode, PrefixSet};
use crate::{Direction, HostFacts, Policy};

/// Why a valid policy has no tables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The tables would take more memory than a generation may have.
    #[error("the tables would take more than {}; write fewer or wider prefixes and port ranges, or raise `[firewall] table_memory` (at most 512MiB)", size(*limit))]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The tables would take more memory than the policy allows.
    #[error(
        "the tables do not fit `[firewall] table_memory`, {}: {} are left to combine addresses and services, cross products take more, and bit vectors take {}; raise it, write fewer rules that differ in source and destination, or move addresses that share a verdict into one `[[set]]`",
        size(*budget), size(*left), size(*bit_vectors)
    )]
    OverBudget {
        /// Bytes that the tables may have.
        budget: u64,
        /// Bytes of them that addresses and services leave.
        left: u64,
        /// Bytes that bit vectors need.
        bit_vectors: u64,
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
    /// Too many rules to combine within the memory budget, for a policy with `next`.
    #[error(
        "{rows} rules with too many address combinations for cross-product tables, and in a policy with `next` bit vectors hold {limit}; move addresses that share a verdict into one `[[set]]`, or do without `next`"
    )]
    TooManyRulesWithNext {
        /// Rows of the policy.
        rows: usize,
        /// The limit.
        limit: u32,
    },
    /// More interfaces than the interface table holds.
    #[error("{interfaces} interfaces find no place in a table; name fewer in `[firewall] interfaces`")]
    TooManyInterfaces {
        /// Interfaces of the host.
        interfaces: usize,
    },
    /// More moments than a generation can know.
    #[error(
        "rules and set entries end at {moments} different moments, and a generation knows {limit}; let more of them end at the same moment, by the day or the hour"
    )]
    TooManyMoments {
        /// Moments of the policy.
        moments: usize,
        /// The limit.
        limit: u32,
    },
    /// More VPCs with interfaces than a generation can tell apart.
    #[error("interfaces in more than {limit} VPCs; leave `vpc` out of some of `[firewall] interfaces`")]
    TooManyZones {
        /// The limit.
        limit: u32,
    },
    /// More addresses with ports than the table of `syn_proxy` holds.
    #[error(
        "{addresses} addresses with ports are to be answered for by `syn_proxy`, and the table holds {limit}; bind the listener to fewer addresses"
    )]
    TooManyProxied {
        /// Addresses with ports of listeners.
        addresses: usize,
        /// The limit.
        limit: usize,
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
        Self::compile_within(policy, host, direction, Budget::of(policy.firewall.table_memory))
    }

    /// Compiles what a policy says of packets that go out. `None`: that they all pass, and nobody counts them; there need be no tables then.
    ///
    /// # Errors
    ///
    /// [`CompileError`] when the policy does not fit the bounds of a generation.
    pub fn compile_outbound(policy: &Policy, host: &HostFacts) -> Result<Option<Self>, CompileError> {
        let lets_all_out = policy.firewall.outbound == Verdict::Allow;
        let mut rules = policy.rules.iter();
        // What the host sends opens flows, and keeps them.
        let keeps_flows = policy.keeps_flows();
        if lets_all_out && !keeps_flows && !rules.any(|rule| rule.direction == Direction::Outbound) {
            return Ok(None);
        }
        let image = Self::compile(policy, host, Direction::Outbound)?;
        // Of a rule that has ended there is no row.
        Ok((!lets_all_out || keeps_flows || image.report().rows > 0).then_some(image))
    }

    /// Compiles a policy within another budget than its own.
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
        let ir = lower(policy, host, direction);
        let walk = Walk::of(&ir.rows);
        let spoofed = Spoofed::of(policy, host, direction)?;
        let mut words = Words::within(budget.bytes);
        let mut settings = Settings::default();
        settings.set(Setting::Abi, ABI);
        settings.set(Setting::Enforce, (policy.firewall.mode == Mode::Enforce).into());
        settings.set(Setting::Outbound, (direction == Direction::Outbound).into());
        settings.set(Setting::Essentials, policy.firewall.essentials.into());
        // They are against sources: what the host sends is not for them.
        let bans = policy.firewall.bans && direction == Direction::Inbound;
        settings.set(Setting::Bans, bans.into());
        settings.set(Setting::Default, policy.firewall.default_of(direction) as u32);
        for class in ParseClass::ALL {
            settings.set_class(*class, policy.firewall.classes.of(*class));
        }
        let limits = limits::write(policy, direction, &mut words, &mut settings)?;
        proxied::write(policy, host, direction, &mut words, &mut settings)?;
        let actions: Vec<u32> = (0..)
            .zip(&policy.rules)
            .zip(limits)
            .map(|((index, rule), limit)| {
                RuleEntry {
                    verdict: rule.action.verdict().unwrap_or(Verdict::Deny),
                    stateful: rule.stateful,
                    limit,
                    // Whoever writes the tables to the kernel knows the slots there.
                    slot: index,
                }
                .pack()
            })
            .collect();
        settings.set(Setting::Rules, words.table(&actions)?);
        flows::write(policy, direction, &mut words, &mut settings)?;

        let services = service::write(&ir.rows, &mut words, &mut settings)?;
        if spoofed.by_zone() || ir.rows.iter().any(|row| row.interfaces.is_some()) {
            context::write_interfaces(&host.interfaces, spoofed.zone_of(), &mut words, &mut settings)?;
        }
        let interfaces = host.interfaces.len();
        let services = context::write(&ir, interfaces, host.clock, services, &mut words, &mut settings)?;
        settings.set(Setting::ObserveUsed, walk.observes().into());
        settings.set(Setting::NextUsed, walk.goes_on().into());
        settings.set(Setting::ZonesUsed, spoofed.by_zone().into());
        let rows = Rows {
            walk: &walk,
            services: &services,
            spoofed: &spoofed,
            budget,
        };
        let mut families = Vec::new();
        let mut amender = Amender::of(host, direction);
        for plane in Plane::ALL {
            families.push(family(plane, &rows, &mut words, &mut settings, &mut amender)?);
        }
        amender.make_room(&mut words);
        let words = words.into_inner()?;
        settings.set(Setting::Length, u32::try_from(words.len()).unwrap_or(0));
        let report = SizeReport {
            rules: policy.rules.len(),
            rows: ir.rows.len(),
            bytes: words.len() * size_of::<u32>(),
            service_classes: services.len(),
            service_reads: service::reads(&settings) + context::reads(&settings),
            families,
        };
        let rule_names = policy.rules.iter().map(|rule| rule.name.clone()).collect();
        Ok(Self::new(settings, words, rule_names, report, amender))
    }
}

/// Bytes, for people.
fn size(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    } else {
        format!("{} MiB", bytes.div_ceil(1 << 20))
    }
}

/// Tables of fewer runs are made anew as fast as they are changed.
const AMENDABLE_RUNS: usize = 1 << 14;

/// What both families are made from.
struct Rows<'a> {
    walk: &'a Walk<'a>,
    services: &'a [Bits],
    spoofed: &'a Spoofed,
    budget: Budget,
}

/// Writes the tables of one family.
fn family(
    plane: Plane,
    from: &Rows<'_>,
    words: &mut Words,
    settings: &mut Settings,
    amender: &mut Amender,
) -> Result<FamilyReport, CompileError> {
    let rows = from.walk.rows();
    let used = rows.iter().any(|row| row.reaches(plane));
    let mut write = |side: Side, words: &mut Words| {
        let (partition, classes) =
            side.classes(plane, rows, from.spoofed, |addresses| spans(plane, addresses));
        let (numbers, rows_of, zones_of) = Numbers::of(&classes);
        let runs = numbers.runs(&partition, &classes).unwrap_or_default();
        if side == Side::Destination && !used {
            return Ok((Trie::default(), rows_of, zones_of));
        }
        let written = address::write(plane, &runs, from.budget.ranges, words)?;
        let trie = written.trie;
        side.set(settings, plane, trie);
        if from.budget.ranges || runs.len() > AMENDABLE_RUNS {
            amender.keep(plane, side, written, numbers);
        }
        Ok::<_, CompileError>((trie, rows_of, zones_of))
    };
    let (source_trie, source_rows, zones) = write(Side::Source, words)?;
    let (destination_trie, destination_rows, _) = write(Side::Destination, words)?;
    if from.spoofed.by_zone() {
        settings.set(in_plane(Setting::Zones4, plane), words.table(&zones)?);
    }
    let mut report = FamilyReport {
        plane,
        source: source_trie.report(source_rows.len()),
        destination: destination_trie.report(destination_rows.len()),
        combined: Combined::Nothing,
    };
    if !used {
        return Ok(report);
    }
    let classes = Classes {
        sources: &source_rows,
        destinations: &destination_rows,
        services: from.services,
    };
    let combination = combine::write(classes, from.walk, from.budget, words)?;
    for (setting, word) in [
        (Setting::Combine4, combination.combine as u32),
        (Setting::Pairing4, combination.pairing as u32),
        (Setting::Pairs4, combination.pairs),
        (Setting::PairsWidth4, combination.pairs_width),
        (Setting::TileBits4, combination.tile_bits),
        (Setting::Tiles4, combination.index),
        (Setting::RowWidth4, combination.row_width),
        (Setting::Cells4, combination.cells),
        (Setting::Sources4, combination.sources),
        (Setting::Destinations4, combination.destinations),
        (Setting::Services4, combination.services),
        (Setting::Width4, combination.width),
        (Setting::Rows4, combination.rows),
        (Setting::Outcomes4, combination.outcomes),
        (Setting::Resumes4, combination.resumes),
    ] {
        settings.set(in_plane(setting, plane), word);
    }
    report.combined = combination.report;
    Ok(report)
}

/// The setting of the family, from its IPv4 name.
fn in_plane(setting: Setting, plane: Plane) -> Setting {
    let index = setting as usize + plane as usize;
    Setting::ALL.get(index).copied().unwrap_or(setting)
}

/// The addresses of one family.
pub(crate) fn spans(plane: Plane, addresses: &Addresses) -> Vec<Span> {
    let of = |set: &PrefixSet, hosts: &[IpAddr]| -> Vec<Span> {
        let prefixes = set.elements().iter().map(|element| element.prefix);
        let hosts = hosts.iter().map(|host| IpNet::from(*host));
        prefixes
            .chain(hosts)
            .filter_map(|prefix| span(plane, prefix))
            .collect()
    };
    let included = match &addresses.include {
        Some(set) => of(set, &addresses.include_hosts),
        None => vec![Span {
            first: 0,
            last: u128::MAX,
        }],
    };
    let excluded = of(&addresses.exclude, &addresses.exclude_hosts);
    if excluded.is_empty() {
        return included;
    }
    partition::without(&included, &excluded)
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
