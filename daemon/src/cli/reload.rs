//! `ravelin reload`.

use clap::Args;

use super::{Failure, Format, Outcome, SocketOption};

/// Make the running daemon read its policy again
#[derive(Args, Debug)]
pub(super) struct Reload {
    #[command(flatten)]
    socket: SocketOption,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Reload {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Self { socket: _, format: _ } = self;
        Err("`ravelin reload` is not supported yet".into())
    }
}
