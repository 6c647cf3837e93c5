//! `ravelin edge`.

use clap::Args;

use super::output::print_error;
use super::{DaemonOptions, Failure, Outcome};
use crate::runtime::EdgeError;
use crate::runtime::edge::{self, Start};

/// Guard connections: TLS listeners, limits, relay
#[derive(Args, Debug)]
pub(super) struct Edge {
    #[command(flatten)]
    options: DaemonOptions,
    /// The process to end with; `ravelin run` sets it
    #[arg(long, value_name = "PID", hide = true)]
    supervised_by: Option<u32>,
    /// Take over from the edge that answers on the edge's control socket, if one does: it goes on until this one serves, then drains
    #[arg(long)]
    take_over: bool,
}

impl Edge {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let start = Start {
            parent: self.supervised_by,
            take_over: self.take_over,
        };
        match edge::run(&self.options.into(), start) {
            Ok(0) => Ok(Outcome::Done),
            // Connections were cut: the log says how many.
            Ok(_) => Ok(Outcome::No),
            Err(EdgeError::Policy { diagnostics }) => {
                print_error(&diagnostics);
                Ok(Outcome::No)
            }
            Err(error) => Err(error.into()),
        }
    }
}
