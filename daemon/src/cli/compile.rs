//! `ravelin compile`: what a policy becomes, and what it costs.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Format, Outcome};

/// Compile a policy: tables, memory, classes, worst-case lookups, build time
#[derive(Args, Debug)]
pub(super) struct Compile {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Compile {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Self { file: _, format: _ } = self;
        Err("`ravelin compile` is not supported yet".into())
    }
}
