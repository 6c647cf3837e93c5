//! `ravelin status`.

use std::fmt::Write as _;

use clap::Args;

use super::halves::{ask_both, unexpected};
use super::output::print;
use super::{Failure, Format, Outcome, SocketOptions};
use crate::control::protocol::{FilterStatus, Status as HalfStatus};
use crate::control::{Action, Answer};

/// Show what is loaded and attached, and how the last reload went
#[derive(Args, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    sockets: SocketOptions,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Status {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let answers = ask_both(&self.sockets, Action::Status)?;
        let outcome = answers.outcome()?;
        match self.format {
            Format::Json => print(&serde_json::to_string(&answers)?),
            Format::Text => {
                for (half, answer) in answers.each() {
                    let Answer::Status(status) = answer else {
                        return Err(unexpected(half, answer));
                    };
                    print(&text(status)?);
                }
            }
        }
        Ok(outcome)
    }
}

fn text(status: &HalfStatus) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(
        text,
        "{} {} (process {})",
        status.half, status.release, status.pid
    )?;
    writeln!(text, "  policy       {}", status.policy)?;
    if let Some(filter) = &status.filter {
        filter_text(&mut text, filter)?;
    }
    match &status.last_reload.error {
        None => writeln!(text, "  last reload  accepted")?,
        Some(error) => writeln!(
            text,
            "  last reload  refused; the last good policy stays: {error}"
        )?,
    }
    Ok(text)
}

fn filter_text(text: &mut String, filter: &FilterStatus) -> std::fmt::Result {
    match (filter.generation, &filter.mode, filter.table_bytes) {
        (Some(generation), Some(mode), Some(bytes)) => writeln!(
            text,
            "  generation   {generation}: {} rules, {bytes} bytes of tables, mode {mode}",
            filter.rules
        )?,
        _ => writeln!(text, "  generation   kept from an earlier process")?,
    }
    for interface in &filter.interfaces {
        writeln!(
            text,
            "  interface    {} ({}), program {}",
            interface.name, interface.mode, interface.program
        )?;
        if let Some(program) = interface.outbound_program {
            let hook = interface.outbound_hook.as_deref().unwrap_or("?");
            writeln!(text, "               outbound ({hook}), program {program}")?;
        }
        if let Some(reason) = &interface.fallback {
            writeln!(text, "               not native: {reason}")?;
        }
    }
    Ok(())
}
