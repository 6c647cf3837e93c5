//! `ravelin diff`: what a change of policy changes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ravelin_rules::Direction;
use ravelin_rules::diff::{Terms, diff};

use super::output::print;
use super::subject::load;
use super::{Failure, Format, Outcome, host};

/// Compare two policies: exactly which traffic is now allowed, now denied, or now judged by another rule
///
/// Every difference is a box of packets with one example that both policies were asked about. There is none if and only if every
/// packet gets the same verdict by the rule of the same name, now and whenever something ends. Exit code 0: the policies mean the
/// same, 1: they do not, 2: there is no answer.
#[derive(Args, Debug)]
pub(super) struct Diff {
    /// The policy before
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The policy after
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Which packets are compared
    #[arg(long, value_enum, value_name = "DIRECTION", default_value_t)]
    direction: Way,
    /// Leave out packets that get the same verdict by another rule
    #[arg(long)]
    verdicts_only: bool,
    /// An address of the host, or INTERFACE=ADDRESS; may be given several times. When not given: those this machine holds on
    /// the policies' interfaces
    #[arg(long = "host-address", value_name = "[INTERFACE=]ADDRESS")]
    host_addresses: Vec<String>,
    /// How the difference is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Which packets are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Way {
    /// Packets of both directions
    #[default]
    Both,
    /// Packets that come in
    Inbound,
    /// Packets that go out
    Outbound,
}

impl Diff {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let (old, new) = (load(&self.old)?, load(&self.new)?);
        let mut interfaces = old.policy.clone();
        for interface in &new.policy.firewall.interfaces {
            let known = &mut interfaces.firewall.interfaces;
            if known.iter().all(|known| known.name != interface.name) {
                known.push(interface.clone());
            }
        }
        let host = host::assumed(&interfaces, &self.host_addresses, None)?;
        let directions: &[Direction] = match self.direction {
            Way::Both => &Direction::ALL,
            Way::Inbound => &[Direction::Inbound],
            Way::Outbound => &[Direction::Outbound],
        };
        let terms = Terms {
            verdicts_only: self.verdicts_only,
        };
        let difference = diff(&old.policy, &new.policy, &host, directions, terms)?;
        match self.format {
            Format::Json => print(&difference.to_json()),
            Format::Text => print(&difference.to_string()),
        }
        Ok(if difference.is_empty() {
            Outcome::Done
        } else {
            Outcome::No
        })
    }
}
