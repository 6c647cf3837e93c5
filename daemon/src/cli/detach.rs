//! `ravelin detach`: take everything out of the kernel.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Format, Outcome, PIN_DIR, SocketOption};

/// Remove every program, link and map of Ravelin from the kernel; works without a daemon
#[derive(Args, Debug)]
pub(super) struct Detach {
    #[command(flatten)]
    socket: SocketOption,
    /// Where links and maps are pinned
    #[arg(long, value_name = "DIR", default_value = PIN_DIR)]
    pin_dir: PathBuf,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Detach {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Self {
            socket: _,
            pin_dir: _,
            format: _,
        } = self;
        Err("`ravelin detach` is not supported yet".into())
    }
}
