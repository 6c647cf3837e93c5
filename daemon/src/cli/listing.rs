//! What commands that list a pinned table have in common: how much is shown and how, and the names of the rules in it.
//!
//! limits, flows → **listing** → pin folder.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::output::print;
use super::{Failure, Format, Outcome};
use crate::network::counters::{Counters, CountersError};
use crate::network::pins::{PinDir, PinsError};
use crate::settings;

/// How a table is listed.
#[derive(Args, Debug)]
pub(super) struct Listing {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(super) limit: usize,
    /// Where links and maps are pinned
    #[arg(long, value_name = "DIR", default_value = settings::PIN_DIR)]
    pin_dir: PathBuf,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Listing {
    /// The pin folder, when it is there.
    pub(super) fn pins(&self) -> Result<Option<PinDir>, PinsError> {
        PinDir::look(&self.pin_dir)
    }

    /// That `nothing` is kept there, and that a filter would with `what`.
    pub(super) fn nobody(&self, nothing: &str, what: &str) -> String {
        let folder = self.pin_dir.display();
        format!(
            "{nothing} by `{folder}`: start `ravelin filter` with {what}, or name its folder with `--pin-dir`"
        )
    }

    /// Prints the answer, as it is or in the words of `text`.
    pub(super) fn print<A: Serialize>(
        &self,
        answer: &A,
        text: impl FnOnce(&A) -> Result<String, fmt::Error>,
    ) -> Result<Outcome, Failure> {
        match self.format {
            Format::Json => print(&serde_json::to_string(answer)?),
            Format::Text => print(&text(answer)?),
        }
        Ok(Outcome::Done)
    }
}

/// The names of rules by the slots that they count in.
pub(super) fn names(pins: &PinDir) -> Result<HashMap<u32, String>, CountersError> {
    let names = Counters::open(pins)?.names()?;
    Ok(names
        .into_iter()
        .map(|(name, slot)| (slot, name.to_string()))
        .collect())
}

/// The last line, when not `all` are `shown`: how to see more, or those of one.
pub(super) fn more(all: usize, shown: usize, of_one: &str) -> String {
    match all - shown {
        0 => String::new(),
        more => format!("and {more} more: `--limit`, or {of_one} for those of one\n"),
    }
}
