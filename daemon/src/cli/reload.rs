//! `ravelin reload`.

use clap::Args;

use super::halves::ask_both;
use super::output::{print, print_error};
use super::{Failure, Format, Outcome, SocketOptions};
use crate::control::{Action, Answer};

/// Make the running halves read their policy again; exit code 1 if it is refused, or a certificate cannot be read
#[derive(Args, Debug)]
pub(super) struct Reload {
    #[command(flatten)]
    sockets: SocketOptions,
    /// How the answers are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Reload {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let answers = ask_both(&self.sockets, Action::Reload)?;
        if self.format == Format::Json {
            print(&serde_json::to_string(&answers)?);
        }
        for (half, answer) in answers.each() {
            let Answer::Reloaded {
                generation,
                warnings,
                kept,
            } = answer
            else {
                continue;
            };
            for error in kept {
                print_error(&format!("{half}: {error}"));
            }
            if !warnings.is_empty() {
                print_error(warnings);
            }
            if self.format == Format::Text {
                match generation {
                    Some(generation) => print(&format!("{half}: generation {generation} is live")),
                    None => print(&format!("{half}: the policy is live")),
                }
            }
        }
        answers.outcome()
    }
}
