//! `ravelin run`.

use clap::Args;

use super::filter::ended;
use super::{DaemonOptions, Failure, Outcome};
use crate::runtime::filter::{self, Halves};

/// Run both halves: the filter as parent, the edge as unprivileged child
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    options: DaemonOptions,
}

impl Run {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        ended(filter::run(&self.options.into(), Halves::Both))
    }
}
