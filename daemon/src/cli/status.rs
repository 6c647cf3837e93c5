//! `ravelin status`.

use clap::Args;

use super::{Failure, Format, Outcome, SocketOption};

/// Show what is loaded and attached
#[derive(Args, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    socket: SocketOption,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Status {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Self { socket: _, format: _ } = self;
        Err("`ravelin status` is not supported yet".into())
    }
}
