//! Commands of the design that are not built. They are hidden from `--help` and refuse with exit code 2.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::{Failure, Outcome};

/// The commands that are not built, in alphabetical order.
#[derive(Debug, Subcommand)]
pub(super) enum Planned {
    #[command(hide = true)]
    Apply(Rest),
    #[command(hide = true)]
    Confirm(Rest),
    #[command(hide = true)]
    Demo(Rest),
    #[command(hide = true)]
    Doctor(Rest),
    #[command(hide = true)]
    Events(Rest),
    #[command(hide = true)]
    Rollback(Rest),
    #[command(hide = true)]
    Top(Rest),
}

/// Whatever stands after the command.
#[derive(Args, Debug)]
pub(super) struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<OsString>,
}

impl Planned {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let (word, Rest { rest: _ }) = match self {
            Self::Apply(rest) => ("apply", rest),
            Self::Confirm(rest) => ("confirm", rest),
            Self::Demo(rest) => ("demo", rest),
            Self::Doctor(rest) => ("doctor", rest),
            Self::Events(rest) => ("events", rest),
            Self::Rollback(rest) => ("rollback", rest),
            Self::Top(rest) => ("top", rest),
        };
        Err(format!("`ravelin {word}` is not supported yet").into())
    }
}
