//! `ravelin check`: every error and warning of a policy, or what it holds.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use clap::Args;
use ravelin_datapath::Verdict;
use ravelin_rules::policy::Scope;
use ravelin_rules::{Direction, HostFacts, Loaded, Policy, TableImage};
use thiserror::Error;

use super::output::print;
use super::{Failure, Format, Outcome};

/// Check a policy: every error and warning, with its place and its fix
#[derive(Args, Debug)]
pub(super) struct Check {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How diagnostics are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Error)]
#[error("cannot open `{}`", file.display())]
struct CannotOpen {
    file: PathBuf,
    source: io::Error,
}

impl Check {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        // A file that is not there is not a policy that is refused.
        if let Err(source) = File::open(&self.file) {
            let file = self.file;
            return Err(CannotOpen { file, source }.into());
        }
        let compiled = ravelin_rules::load(&self.file).and_then(|loaded| {
            let image = loaded.compile(&HostFacts::default(), Direction::Inbound)?;
            Ok((loaded, image))
        });
        let (report, outcome) = match &compiled {
            Ok((loaded, _)) => (&loaded.warnings, Outcome::Done),
            Err(report) => (report, Outcome::No),
        };
        match self.format {
            Format::Json => print(&report.to_json()),
            Format::Text => print(&report.render()),
        }
        if let (Ok((loaded, image)), Format::Text) = (&compiled, self.format) {
            print(&format!("{}: {}", self.file.display(), summary(loaded, image)));
        }
        Ok(outcome)
    }
}

/// What the policy holds, in a paragraph.
fn summary(loaded: &Loaded, image: &TableImage) -> String {
    let policy = &loaded.policy;
    let global = policy
        .rules
        .iter()
        .filter(|rule| rule.scope == Scope::Global)
        .count();
    let default = match policy.firewall.inbound {
        Verdict::Allow => "allowed",
        Verdict::Deny => "denied",
    };
    format!(
        "accepted. {} ({global} global, {} host) and {} on {}; what no rule matches is {default}; tables of {}. {}, {}.",
        counted(policy.rules.len(), "rule"),
        policy.rules.len() - global,
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
