//! `ravelin edge`.

use clap::Args;

use super::output::print_error;
use super::{DaemonOptions, Failure, Outcome};
use crate::runtime::{EdgeError, edge};

/// Guard connections: TLS listeners, limits, relay
#[derive(Args, Debug)]
pub(super) struct Edge {
    #[command(flatten)]
    options: DaemonOptions,
    /// The process to end with; `ravelin run` sets it
    #[arg(long, value_name = "PID", hide = true)]
    supervised_by: Option<u32>,
}

impl Edge {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        match edge::run(&self.options.into(), self.supervised_by) {
            Ok(()) => Ok(Outcome::Done),
            Err(EdgeError::Policy { diagnostics }) => {
                print_error(&diagnostics);
                Ok(Outcome::No)
            }
            Err(error) => Err(error.into()),
        }
    }
}
