//! `ravelin check`: diagnostics of a policy.

use std::path::PathBuf;

use clap::Args;

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

impl Check {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Self { file: _, format: _ } = self;
        Err("`ravelin check` is not supported yet".into())
    }
}
