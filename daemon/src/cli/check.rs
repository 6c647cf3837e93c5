//! `ravelin check`: every error and warning of a policy, or what it holds.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ravelin_datapath::Verdict;
use ravelin_rules::policy::{Level, ListedSet};
use ravelin_rules::{Direction, Loaded, Policy, TableImage, Thoroughness};

use super::output::print;
use super::subject::open;
use super::{Failure, Format, Outcome, host};

/// Check a policy: every error and warning, with its place and its fix
#[derive(Args, Debug)]
pub(super) struct Check {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Which lints run: what rules do and do not do, told exactly
    #[arg(long, value_enum, value_name = "WHICH", default_value_t)]
    lints: Lints,
    /// An address of the host, or INTERFACE=ADDRESS; may be given several times. When not given: those this machine holds on
    /// the policy's interfaces
    #[arg(long = "host-address", value_name = "[INTERFACE=]ADDRESS")]
    host_addresses: Vec<String>,
    /// How diagnostics are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Which lints run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Lints {
    /// None
    None,
    /// Those whose findings are mistakes nearly always
    #[default]
    Likely,
    /// Also those that tell how rules share the traffic, and the rules that are not for this host
    All,
}

impl From<Lints> for Thoroughness {
    fn from(lints: Lints) -> Self {
        match lints {
            Lints::None => Self::None,
            Lints::Likely => Self::Likely,
            Lints::All => Self::All,
        }
    }
}

impl Check {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        // A file that is not there is not a policy that is refused.
        drop(open(&self.file)?);
        let checked = match ravelin_rules::load(&self.file) {
            Ok(loaded) => {
                let host = host::assumed(&loaded.policy, &self.host_addresses, None)?;
                let image = loaded.compile(&host, Direction::Inbound);
                let outbound = loaded.compile(&host, Direction::Outbound);
                image.and_then(|image| {
                    outbound.map(|_| (loaded.lint(&host, self.lints.into()), loaded, image))
                })
            }
            Err(report) => Err(report),
        };
        let (report, outcome) = match &checked {
            Ok((report, ..)) => (report, Outcome::Done),
            Err(report) => (report, Outcome::No),
        };
        match self.format {
            Format::Json => print(&report.to_json()),
            Format::Text => print(&report.render()),
        }
        if let (Ok((_, loaded, image)), Format::Text) = (&checked, self.format) {
            print(&format!("{}: {}", self.file.display(), summary(loaded, image)));
            for set in &loaded.policy.sets {
                print(&listed(set));
            }
        }
        Ok(outcome)
    }
}

/// What a set holds, in a line.
fn listed(set: &ListedSet) -> String {
    let entries = match set.entries {
        1 => "1 entry".to_owned(),
        entries => format!("{entries} entries"),
    };
    let from = match set.files.len() {
        0 => String::new(),
        files => format!(" with {}", counted(files, "file")),
    };
    let covered = match set.covered {
        0 => String::new(),
        covered => format!("; {covered} of them inside others or said twice"),
    };
    format!("  set `{}`: {entries}{from}{covered}", set.name)
}

/// What the policy holds, in a paragraph.
fn summary(loaded: &Loaded, image: &TableImage) -> String {
    let policy = &loaded.policy;
    let of = |level: Level| {
        policy
            .rules
            .iter()
            .filter(|rule| rule.scope.level() == level)
            .count()
    };
    let scopes = [
        (of(Level::Global), "global"),
        (of(Level::Region), "region"),
        (of(Level::Vpc), "VPC"),
        (of(Level::Host), "host"),
        (policy.inert.len(), "for other hosts"),
    ];
    // A region, a VPC and rules of others are worth a word only where there are some.
    let scopes: Vec<String> = scopes
        .iter()
        .filter(|(count, scope)| *count > 0 || matches!(*scope, "global" | "host"))
        .map(|(count, scope)| format!("{count} {scope}"))
        .collect();
    let default = match policy.firewall.inbound {
        Verdict::Allow => "allowed",
        Verdict::Deny => "denied",
    };
    format!(
        "accepted. {} ({}) and {} on {}; what no rule matches is {default}; tables of {}. {}, {}.",
        counted(policy.rules.len(), "rule"),
        scopes.join(", "),
        counted(loaded.sets, "set"),
        interfaces(policy),
        size(image.report().bytes),
        counted(policy.listeners.len(), "listener"),
        counted(policy.upstreams.len(), "upstream"),
    )
}

fn interfaces(policy: &Policy) -> String {
    match policy.firewall.interfaces.as_slice() {
        [] => "no interface".to_owned(),
        interfaces => {
            let names: Vec<&str> = interfaces
                .iter()
                .map(|interface| interface.name.as_str())
                .collect();
            names.join(", ")
        }
    }
}

fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

fn size(bytes: usize) -> String {
    if bytes < 1 << 20 {
        return format!("{} KiB", bytes.div_ceil(1 << 10));
    }
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
