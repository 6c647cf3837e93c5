//! Fixture rows: a packet, a policy, and what must be decided, found by folder.
//!
//! `tests/fixtures/packets/<topic>/*.toml` → **`Row`s** → `packets.rs` (user space) and `kernel.rs` (the same rows in the
//! kernel). A file is one table: `policy` for all its rows, and rows of
//!
//! ```toml
//! [[row]]
//! description = "one tag, IPv4 inside"
//! packet  = "ether / vlan id=5 / ipv4 / tcp port=443"   # or hex = "0200..."
//! policy  = "..."                    # instead of the file's; or policy_file = "name.toml" in fixtures/policies
//! classes = { vlan = "deny" }        # a [firewall.classes] table to add
//! host    = ["203.0.113.9"]          # addresses of the host
//! direction = "inbound"              # or "outbound"
//! loopback = false
//! verdict = "allow"
//! reason  = "rule"
//! rule    = "https"                  # exactly when the reason is `rule`
//! seen    = ["vlan"]                 # exactly these parse classes
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ravelin_datapath::{ClassSet, Decision, ParseClass, Reason, Verdict};
use ravelin_rules::policy::InterfaceFacts;
use ravelin_rules::{Direction, HostFacts, Policy};
use serde::Deserialize;

use crate::packet::{Packet, from_hex, hex};

/// Every row of every table, in the order of file names.
///
/// # Panics
/// When a table cannot be read, a row makes no sense, or a policy does not load.
#[must_use]
pub fn all() -> Vec<Row> {
    let folder = fixtures().join("packets");
    let mut policies = BTreeMap::new();
    let mut rows = Vec::new();
    for topic in sorted(&folder) {
        for file in sorted(&topic) {
            rows.extend(rows_of(&file, &folder, &mut policies));
        }
    }
    rows
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// The file it stands in, below `packets`.
    pub file: String,
    /// What it shows.
    pub description: String,
    /// The packet.
    pub packet: Packet,
    /// Which way it goes.
    pub direction: Direction,
    /// It comes in on the loopback interface.
    pub loopback: bool,
    /// What must be decided.
    pub expected: Expected,
    policy: Arc<Policy>,
    host: Vec<IpAddr>,
}

/// What must be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What happens to the packet.
    pub verdict: Verdict,
    /// Why; also the label of the counter that goes up.
    pub reason: Reason,
    /// The name of the deciding rule.
    pub rule: Option<String>,
    /// The parse classes seen.
    pub seen: ClassSet,
}

impl Row {
    /// The bytes.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        self.packet.bytes()
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> HostFacts {
        HostFacts {
            interfaces: vec![InterfaceFacts {
                name: "eth0".to_owned(),
                index: 2,
                addresses: self.host.clone(),
            }],
            ..HostFacts::default()
        }
    }

    /// Whether the kernel's test run takes the frame: it refuses fewer bytes than an Ethernet header (ETH_HLEN), and more than
    /// it puts into a page.
    #[must_use]
    pub fn fits_a_test_run(&self) -> bool {
        fits_a_test_run(self.direction, &self.frame())
    }

    /// Compares a decision with what is expected.
    ///
    /// # Panics
    /// When they differ, with everything needed to see why.
    #[track_caller]
    pub fn assert(&self, judge: &str, decision: &Decision) {
        let decided = Expected::of(decision, &self.policy);
        assert_eq!(
            decided,
            self.expected,
            "\n{judge} (left) decides otherwise than the fixture (right)\n{}: {}\n{}\n{}",
            self.file,
            self.description,
            self.packet,
            hex(&self.frame())
        );
    }
}

impl Expected {
    /// Reads the words of a table.
    ///
    /// # Panics
    /// When one of them does not exist, or they do not go together.
    #[must_use]
    pub(crate) fn read(
        verdict: &str,
        reason: &str,
        rule: Option<String>,
        seen: &[String],
        place: &str,
    ) -> Self {
        let known = Reason::ALL.iter().find(|known| known.label() == reason);
        let reason = *known.unwrap_or_else(|| panic!("{place}: unknown reason `{reason}`"));
        assert_eq!(
            rule.is_some(),
            reason == Reason::Rule,
            "{place}: `rule` and the reason `rule` go together"
        );
        let classes = seen.iter().fold(ClassSet::default(), |classes, label| {
            let class = ParseClass::ALL.iter().find(|class| class.label() == label);
            classes.with(*class.unwrap_or_else(|| panic!("{place}: unknown class `{label}`")))
        });
        Self {
            verdict: match verdict {
                "allow" => Verdict::Allow,
                "deny" => Verdict::Deny,
                other => panic!("{place}: unknown verdict `{other}`"),
            },
            reason,
            rule,
            seen: classes,
        }
    }

    /// What was decided under that policy, in the same words.
    #[must_use]
    pub(crate) fn of(decision: &Decision, policy: &Policy) -> Self {
        let name = |rule: u32| {
            let index = usize::try_from(rule).unwrap_or(usize::MAX);
            let rule = policy.rules.get(index);
            rule.map_or_else(
                || format!("no rule of index {index}"),
                |rule| rule.name.to_string(),
            )
        };
        Self {
            verdict: decision.verdict,
            reason: decision.reason,
            rule: decision.rule.map(name),
            seen: decision.seen,
        }
    }
}

/// Whether the kernel's test run takes the frame.
#[must_use]
pub fn fits_a_test_run(direction: Direction, frame: &[u8]) -> bool {
    let ether_type = frame.get(12..14).unwrap_or_default();
    // A socket buffer is made from what is behind the Ethernet header: not nothing, and of IP at least the fixed header.
    let least = match (direction, ether_type) {
        (Direction::Inbound, _) => 14,
        (Direction::Outbound, [0x08, 0x00]) => 14 + 20,
        (Direction::Outbound, [0x86, 0xdd]) => 14 + 40,
        (Direction::Outbound, _) => 14 + 1,
    };
    (least..3_500).contains(&frame.len())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    policy: String,
    row: Vec<Written>,
}

/// A row as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    description: String,
    packet: Option<String>,
    hex: Option<String>,
    policy: Option<String>,
    policy_file: Option<String>,
    #[serde(default)]
    classes: BTreeMap<String, String>,
    #[serde(default)]
    host: Vec<IpAddr>,
    direction: Option<String>,
    #[serde(default)]
    loopback: bool,
    verdict: String,
    reason: String,
    rule: Option<String>,
    #[serde(default)]
    seen: Vec<String>,
}

fn rows_of(file: &Path, folder: &Path, policies: &mut BTreeMap<String, Arc<Policy>>) -> Vec<Row> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let table: Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let name = file.strip_prefix(folder).unwrap_or(file).display().to_string();
    let mut rows = Vec::new();
    for written in table.row {
        let place = format!("{name}: {}", written.description);
        let text = policy_text(&written, &table.policy, &place);
        let policy = policies.entry(text).or_insert_with_key(|text| load(text, &place));
        let policy = Arc::clone(policy);
        rows.push(row(written, &name, &place, policy));
    }
    rows
}

fn row(written: Written, file: &str, place: &str, policy: Arc<Policy>) -> Row {
    let packet = match (&written.packet, &written.hex) {
        (Some(text), None) => Packet::parse(text),
        (None, Some(digits)) => from_hex(digits).map(|bytes| Packet::raw(&bytes)),
        _ => Err("one of `packet` and `hex`".to_owned()),
    };
    Row {
        file: file.to_owned(),
        description: written.description,
        packet: packet.unwrap_or_else(|message| panic!("{place}: {message}")),
        direction: direction(written.direction.as_deref(), place),
        loopback: written.loopback,
        expected: Expected::read(
            &written.verdict,
            &written.reason,
            written.rule,
            &written.seen,
            place,
        ),
        policy,
        host: written.host,
    }
}

/// The direction of a row; `inbound` is not written.
pub(crate) fn direction(word: Option<&str>, place: &str) -> Direction {
    match word {
        None | Some("inbound") => Direction::Inbound,
        Some("outbound") => Direction::Outbound,
        Some(other) => panic!("{place}: unknown direction `{other}`"),
    }
}

fn policy_text(written: &Written, of_the_table: &str, place: &str) -> String {
    let mut text = match (&written.policy, &written.policy_file) {
        (Some(text), None) => text.clone(),
        (None, Some(file)) => policy_of_file(file, place),
        (None, None) => of_the_table.to_owned(),
        _ => panic!("{place}: one of `policy` and `policy_file`"),
    };
    if !written.classes.is_empty() {
        text.push_str("\n[firewall.classes]\n");
        for (class, verdict) in &written.classes {
            text.push_str(&format!("{class} = \"{verdict}\"\n"));
        }
    }
    text
}

/// The text of a file in `fixtures/policies`.
pub(crate) fn policy_of_file(file: &str, place: &str) -> String {
    let path = fixtures().join("policies").join(file);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{place}: {file}: {error}"))
}

pub(crate) fn load(text: &str, place: &str) -> Arc<Policy> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("policy.toml");
    fs::write(&path, text).expect("a temporary folder can be written");
    match ravelin_rules::load(&path) {
        Ok(loaded) => Arc::new(loaded.policy),
        Err(report) => panic!("{place}\n{}", report.render()),
    }
}

/// What is in the folder, by name.
pub(crate) fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| {
            entry
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
                .path()
        })
        .collect();
    paths.sort();
    paths
}

/// Where tables stand.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}
