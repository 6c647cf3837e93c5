//! `ravelin filter`.

use clap::Args;

use super::output::print_error;
use super::{DaemonOptions, Failure, Outcome};
use crate::network::ApplyError;
use crate::runtime::FilterError;
use crate::runtime::filter::{self, Halves};

/// Filter packets: load, attach and update the kernel programs
#[derive(Args, Debug)]
pub(super) struct Filter {
    #[command(flatten)]
    options: DaemonOptions,
}

impl Filter {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        ended(filter::run(&self.options.into(), Halves::FilterOnly))
    }
}

/// The outcome of a filter that has ended, or could not start.
pub(super) fn ended(result: Result<bool, FilterError>) -> Result<Outcome, Failure> {
    match result {
        Ok(true) => Ok(Outcome::Done),
        // Connections were cut: the log of the edge says how many.
        Ok(false) => Ok(Outcome::No),
        Err(FilterError::Policy { diagnostics }) => {
            print_error(&diagnostics);
            Ok(Outcome::No)
        }
        Err(FilterError::Apply(error @ (ApplyError::Compile(_) | ApplyError::NoInterfaces))) => {
            super::output::failure(&error);
            Ok(Outcome::No)
        }
        Err(error) => Err(error.into()),
    }
}
