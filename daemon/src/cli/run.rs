//! `ravelin run`.

use clap::Args;

use super::{DaemonOptions, Failure, Outcome};

/// Run both halves: the filter as parent, the edge as unprivileged child
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    options: DaemonOptions,
}

impl Run {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Self { options: _ } = self;
        Err("`ravelin run` is not supported yet".into())
    }
}
