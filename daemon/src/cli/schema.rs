//! `ravelin schema`: what editors and other programs check a policy file with.

use clap::Args;
use ravelin_rules::{included_schema, policy_schema};

use super::{Failure, Outcome, output};

/// Print the JSON Schema (draft 2020-12) of a policy file: completion and checks in editors
///
/// Keys, types, closed words and what has to be there. What texts and numbers mean, only `ravelin check` knows.
#[derive(Args, Debug)]
pub(super) struct Schema {
    /// The schema of an included file instead of the main file's
    #[arg(long)]
    included: bool,
}

impl Schema {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let schema = if self.included {
            included_schema()
        } else {
            policy_schema()
        };
        output::print(&format!("{schema:#}"));
        Ok(Outcome::Done)
    }
}
