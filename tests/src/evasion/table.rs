//! The table of tricks, found by folder.
//!
//! `tests/fixtures/evasion/*.toml` → **`Row`s**. A file is a group of rows under the policy `policy_file`, a file of `fixtures/policies`. A
//! row is written as in the packet tables (`fixture`), with one packet or with several in their order:
//!
//! ```toml
//! [before]                           # what may have happened before a row: packets, by a name
//! served = [{ packet = "ether / ipv4 / tcp", verdict = "allow", reason = "rule", rule = "https" }]
//!
//! [[row]]
//! description = "a reset that somebody forges"
//! source      = "RFC 5961, section 3" # who tells of the trick
//! before      = "served"
//! packets     = [                    # or packet = "...", with the words below beside it
//!     { packet = "ether / ipv4 / tcp flags=rst", verdict = "allow", reason = "flow" },
//! ]
//! nftables    = "..."                # why nftables makes something else of it; only where it does
//! ```
//!
//! A packet may have `direction = "outbound"`, and `before = true` when it is not part of the trick.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ravelin_datapath::{Decision, Verdict};
use ravelin_rules::{Direction, HostFacts, Policy};
use serde::Deserialize;

use crate::fixture::{self, Expected};
use crate::packet::{Packet, hex};

/// Every row, in the order of file names.
///
/// # Panics
/// When a table cannot be read, a row makes no sense, or a policy does not load.
#[must_use]
pub fn all() -> Vec<Row> {
    let mut policies = BTreeMap::new();
    let files = fixture::sorted(&fixture::fixtures().join("evasion"));
    let rows = files.iter().flat_map(|file| rows_of(file, &mut policies));
    rows.collect()
}

/// The host that all rows are about.
///
/// # Panics
/// Never: the addresses are addresses.
#[must_use]
pub fn host(policy: &Policy) -> HostFacts {
    HostFacts::assumed(
        policy,
        &HOST.map(|text| text.parse::<IpAddr>().expect("an address")),
    )
}

/// One trick.
#[derive(Clone, Debug)]
pub struct Row {
    /// What the file is about.
    pub group: String,
    /// What the trick is.
    pub description: String,
    /// Who tells of it.
    pub source: String,
    /// The file of its policy.
    pub policy_file: String,
    /// The packets, in their order.
    pub steps: Vec<Step>,
    /// Why nftables makes something else of it.
    pub nftables: Option<String>,
    policy: Arc<Policy>,
}

/// One packet.
#[derive(Clone, Debug)]
pub struct Step {
    /// The packet.
    pub packet: Packet,
    /// Which way it goes.
    pub direction: Direction,
    /// It is not part of the trick: it was there before.
    pub before: bool,
    /// What must be decided.
    pub expected: Expected,
}

impl Row {
    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// What is part of the trick.
    pub fn trick(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| !step.before)
    }

    /// Whether the table says that the whole trick comes in.
    #[must_use]
    pub fn comes_in(&self) -> bool {
        self.trick().all(|step| step.expected.verdict == Verdict::Allow)
    }

    /// How many packets the host's stack makes of the trick, when all of it comes in: parts are put together before any hook for
    /// what is meant for the host.
    #[must_use]
    pub fn whole_packets(&self) -> u64 {
        let (parts, whole): (Vec<&Step>, Vec<&Step>) =
            self.trick().partition(|step| step.packet.is_fragment());
        whole.len() as u64 + u64::from(!parts.is_empty())
    }

    /// What is wrong with a decision about the packet of that number, with everything needed to see why.
    #[must_use]
    pub fn difference(&self, number: usize, decision: &Decision) -> Option<String> {
        let step = &self.steps[number];
        let decided = Expected::of(decision, &self.policy);
        (decided != step.expected).then(|| {
            format!(
                "{}: {}\npacket {number}: {}\n{}\nthe table: {:?}\ndecided:   {decided:?}",
                self.group,
                self.description,
                step.packet,
                hex(&step.packet.bytes()),
                step.expected
            )
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    group: String,
    policy_file: String,
    #[serde(default)]
    before: BTreeMap<String, Vec<WrittenStep>>,
    row: Vec<WrittenRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRow {
    description: String,
    source: String,
    policy_file: Option<String>,
    before: Option<String>,
    packet: Option<String>,
    verdict: Option<String>,
    reason: Option<String>,
    rule: Option<String>,
    #[serde(default)]
    seen: Vec<String>,
    #[serde(default)]
    packets: Vec<WrittenStep>,
    nftables: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    packet: String,
    direction: Option<String>,
    #[serde(default)]
    before: bool,
    verdict: String,
    reason: String,
    rule: Option<String>,
    #[serde(default)]
    seen: Vec<String>,
}

impl WrittenRow {
    /// Its packets, however they are written.
    fn packets(&mut self, place: &str) -> Vec<WrittenStep> {
        let one = (self.packet.take(), self.verdict.take(), self.reason.take());
        match one {
            (Some(packet), Some(verdict), Some(reason)) if self.packets.is_empty() => vec![WrittenStep {
                packet,
                direction: None,
                before: false,
                verdict,
                reason,
                rule: self.rule.take(),
                seen: std::mem::take(&mut self.seen),
            }],
            (None, None, None) if !self.packets.is_empty() && self.rule.is_none() && self.seen.is_empty() => {
                std::mem::take(&mut self.packets)
            }
            _ => panic!("{place}: one packet with its verdict, or `packets`"),
        }
    }
}

fn rows_of(file: &Path, policies: &mut BTreeMap<String, Arc<Policy>>) -> Vec<Row> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let table: Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let rows = table.row.into_iter().map(|mut written| {
        let place = format!("{}: {}", file.display(), written.description);
        let mut steps = vec![];
        if let Some(name) = &written.before {
            let before = table.before.get(name);
            let before = before.unwrap_or_else(|| panic!("{place}: nothing is called `{name}`"));
            steps.extend(before.iter().map(|step| WrittenStep {
                before: true,
                ..step.clone()
            }));
        }
        steps.extend(written.packets(&place));
        let policy_file = written.policy_file.unwrap_or_else(|| table.policy_file.clone());
        let policy = policies
            .entry(policy_file.clone())
            .or_insert_with_key(|file| fixture::load(&fixture::policy_of_file(file, &place), &place));
        Row {
            group: table.group.clone(),
            policy: Arc::clone(policy),
            policy_file,
            steps: steps.into_iter().map(|step| read(step, &place)).collect(),
            description: written.description,
            source: written.source,
            nftables: written.nftables,
        }
    });
    rows.collect()
}

fn read(written: WrittenStep, place: &str) -> Step {
    let packet = Packet::parse(&written.packet);
    Step {
        packet: packet.unwrap_or_else(|message| panic!("{place}: {message}")),
        direction: fixture::direction(written.direction.as_deref(), place),
        before: written.before,
        expected: Expected::read(
            &written.verdict,
            &written.reason,
            written.rule,
            &written.seen,
            place,
        ),
    }
}

/// What the host holds on its one interface.
pub(super) const HOST: [&str; 2] = ["203.0.113.9", "2001:db8:1::9"];
