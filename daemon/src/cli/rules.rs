//! `ravelin rules`.

use std::fmt::Write as _;

use clap::Args;
use ravelin_datapath::Direction;

use super::halves::{ask_filter, expect_done, unexpected};
use super::output::print;
use super::{Failure, Format, Outcome, SocketOptions};
use crate::control::protocol::Rules as Counted;
use crate::control::{Action, Answer};

/// Show the rules with their counters, in the order of judgement
#[derive(Args, Debug)]
pub(super) struct Rules {
    #[command(flatten)]
    sockets: SocketOptions,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Rules {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let answer = ask_filter(&self.sockets, Action::Rules)?;
        expect_done("filter", &answer)?;
        let Answer::Rules(rules) = answer else {
            return Err(unexpected("filter", &answer));
        };
        match self.format {
            Format::Json => print(&serde_json::to_string(&rules)?),
            Format::Text => print(&text(&rules)?),
        }
        Ok(Outcome::Done)
    }
}

fn text(rules: &Counted) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "{:>14} {:>16}  {:<6} rule", "packets", "bytes", "action")?;
    for rule in &rules.rules {
        let action = rule.action.as_deref().unwrap_or("?");
        writeln!(
            text,
            "{:>14} {:>16}  {action:<6} {}",
            rule.packets, rule.bytes, rule.name
        )?;
    }
    writeln!(text, "\n{:>14} {:>16}  {:<6} reason", "packets", "bytes", "")?;
    for reason in &rules.reasons {
        writeln!(
            text,
            "{:>14} {:>16}  {:<6} {}{}",
            reason.packets,
            reason.bytes,
            reason.verdict,
            reason.reason,
            outbound(&reason.direction)
        )?;
    }
    if !rules.classes.is_empty() {
        writeln!(text, "\n{:>14} {:>16}  {:<6} parse class", "packets", "bytes", "")?;
        for class in &rules.classes {
            writeln!(
                text,
                "{:>14} {:>16}  {:<6} {}{}",
                class.packets,
                class.bytes,
                "",
                class.class,
                outbound(&class.direction)
            )?;
        }
    }
    Ok(text)
}

/// What is said of packets that go out; of those that come in, which is the usual, nothing.
fn outbound(direction: &str) -> &'static str {
    if direction == Direction::Outbound.word() {
        ", outbound"
    } else {
        ""
    }
}
