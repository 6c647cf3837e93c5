//! The page `docs/evasion.md`: each trick, what Ravelin says, and what became of it at a host with nftables.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::nftables::{self, Outcome};
use super::table::Row;
use crate::fixture;

/// Where the page is.
#[must_use]
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/evasion.md")
}

/// Whether one lets in what the other denies.
#[must_use]
pub fn differ(row: &Row, outcome: Outcome) -> bool {
    row.comes_in() != (outcome == Outcome::ComesIn)
}

/// How many rows of each group are denied by whom.
///
/// # Panics
/// Never: a string takes what is written to it.
#[must_use]
pub fn summary(rows: &[(Row, Outcome)]) -> String {
    let mut text = String::from(
        "| group | rows | ravelin denies | nftables denies | differ | ravelin alone denies | nftables alone denies | of these `stack` |\n|---|---|---|---|---|---|---|---|\n",
    );
    let mut line = |name: &str, rows: &[&(Row, Outcome)]| {
        let count = |which: &dyn Fn(&Row, Outcome) -> bool| {
            rows.iter().filter(|(row, outcome)| which(row, *outcome)).count()
        };
        let ravelin = count(&|row, _| !row.comes_in());
        let nftables = count(&|_, outcome| outcome != Outcome::ComesIn);
        let alone = count(&|row, outcome| differ(row, outcome) && !row.comes_in());
        let differing = count(&differ);
        let stack = count(&|row, outcome| differ(row, outcome) && outcome == Outcome::Refused);
        writeln!(
            text,
            "| {name} | {} | {ravelin} | {nftables} | {differing} | {alone} | {} | {stack} |",
            rows.len(),
            differing - alone
        )
        .expect("a string takes it");
    };
    for group in groups(rows) {
        line(&group[0].0.group, &group);
    }
    line("all", &rows.iter().collect::<Vec<_>>());
    text
}

/// The whole page.
///
/// # Panics
/// When a policy cannot be read.
#[must_use]
pub fn render(rows: &[(Row, Outcome)], versions: &str) -> String {
    let policy = fixture::policy_of_file("evasion.toml", "the page");
    let mut text = format!(
        "{INTRODUCTION}\nMeasured on {versions}.\n\n## In numbers\n\n{}\n## The policy and the ruleset\n\n```toml\n{policy}```\n\n\
         {VARIANTS}\n\n```text\n{}```\n\n{READING}\n",
        summary(rows),
        nftables::ruleset()
    );
    for group in groups(rows) {
        let heading = format!(
            "\n## {}\n\n| trick | told by | ravelin | nftables | where they differ |\n|---|---|---|---|---|\n",
            group[0].0.group
        );
        text.push_str(&heading);
        for (row, outcome) in group {
            text.push_str(&line(row, *outcome));
        }
    }
    text
}

fn line(row: &Row, outcome: Outcome) -> String {
    let said: Vec<String> = row
        .trick()
        .map(|step| {
            format!(
                "{} `{}`",
                step.expected.verdict.word(),
                step.expected.reason.label()
            )
        })
        .collect();
    let nftables = outcome.word();
    let why = if differ(row, outcome) {
        row.nftables.as_deref().unwrap_or("?")
    } else {
        ""
    };
    format!(
        "| {} | {} | {} | {nftables} | {why} |\n",
        row.description,
        row.source,
        shortened(&said)
    )
}

/// What follows itself is said once.
fn shortened(said: &[String]) -> String {
    let runs: Vec<String> = said
        .chunk_by(|one, next| one == next)
        .map(|run| match run.len() {
            1 => run[0].clone(),
            times => format!("{times} × {}", run[0]),
        })
        .collect();
    runs.join(", ")
}

/// The rows of each group, in the order of the table.
fn groups(rows: &[(Row, Outcome)]) -> Vec<Vec<&(Row, Outcome)>> {
    let mut groups: Vec<Vec<&(Row, Outcome)>> = vec![];
    for row in rows {
        match groups.last_mut() {
            Some(group) if group[0].0.group == row.0.group => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    groups
}

const INTRODUCTION: &str = "# Tricks to get past a filter

Packets and sequences of packets that somebody sends to get past a filter, what Ravelin says of each, and what becomes of the same frames at a host
with nftables. The rows are in `tests/fixtures/evasion`; the suite `evasion` asks the oracle, the datapath and the programs in the kernel about each packet, sends
the frames to a host with nftables, and checks this page. `RAVELIN_BLESS=1 cargo test -p ravelin-tests --test evasion` writes it anew.
";

const VARIANTS: &str = "Some rows have a policy with `outbound = \"allow\"`, or one whose rule for HTTPS says `tcp_flags = \"syn,!ack,!fin,!rst\"`. nftables has the
same ruleset for all rows, and filters nothing that the host sends:";

const READING: &str = "A row *comes in* at Ravelin when each of its packets is allowed, and at nftables when all of it is counted behind the ruleset. nftables stands behind
the host's stack and connection tracking: `stack` means that the frame never came to the ruleset. The stack checks checksums, addresses and
options before; frames with a VLAN tag go to the VLAN's interface, which this host does not have; and fragments are put together before the ruleset sees them
(`nf_defrag_ipv4`, `nf_defrag_ipv6`), so it judges whole datagrams, and what is not complete waits in the host's memory. Fragments of IPv6 that can be no part of a datagram,
as a first one without its whole header chain (RFC 8200, section 4.5), come to the ruleset as they are. XDP stands before all that:
it judges a first fragment by its header, and later ones by what became of the first. What Ravelin lets in still has to pass the same stack, so a packet that is refused there under nftables is
refused there behind Ravelin too. Without `invalid : drop`, which many rulesets lack, the rows that say `invalid` and go to a port that is open would come in. A row says what becomes of the packets that it names; what was there before is not counted.";
