//! `ravelin rules`.

use clap::Args;

use super::{Failure, Format, Outcome, SocketOption};

/// Show the rules with their counters
#[derive(Args, Debug)]
pub(super) struct Rules {
    #[command(flatten)]
    socket: SocketOption,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Rules {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Self { socket: _, format: _ } = self;
        Err("`ravelin rules` is not supported yet".into())
    }
}
