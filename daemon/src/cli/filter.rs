//! `ravelin filter`.

use clap::Args;

use super::{DaemonOptions, Failure, Outcome};

/// Filter packets: load, attach and update the kernel programs
#[derive(Args, Debug)]
pub(super) struct Filter {
    #[command(flatten)]
    options: DaemonOptions,
}

impl Filter {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Self { options: _ } = self;
        Err("`ravelin filter` is not supported yet".into())
    }
}
