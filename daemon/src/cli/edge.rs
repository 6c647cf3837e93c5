//! `ravelin edge`.

use clap::Args;

use super::{DaemonOptions, Failure, Outcome};

/// Guard connections: TLS listeners, limits, relay
#[derive(Args, Debug)]
pub(super) struct Edge {
    #[command(flatten)]
    options: DaemonOptions,
}

impl Edge {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Self { options: _ } = self;
        Err("`ravelin edge` is not supported yet".into())
    }
}
