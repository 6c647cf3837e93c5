//! `ravelin detach`.

use std::path::PathBuf;

use clap::Args;

use super::halves::{ask_filter, expect_done, unexpected};
use super::output::print;
use super::{Failure, Format, Outcome, SocketOptions};
use crate::control::client::ClientError;
use crate::control::{Action, Answer};
use crate::network::detach::{Detached, detach};
use crate::settings;

/// Remove every program, link and map of Ravelin from the kernel, and end the filter; works without a daemon
#[derive(Args, Debug)]
pub(super) struct Detach {
    #[command(flatten)]
    sockets: SocketOptions,
    /// Where links and maps are pinned
    #[arg(long, value_name = "DIR", default_value = settings::PIN_DIR)]
    pin_dir: PathBuf,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Detach {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let detached = self.detach()?;
        match self.format {
            Format::Json => print(&serde_json::to_string(&detached)?),
            Format::Text if detached == Detached::default() => print("nothing was there"),
            Format::Text => {
                for interface in &detached.interfaces {
                    print(&format!("{interface}: packets are no longer judged"));
                }
                for pin in &detached.pins {
                    print(&format!("removed {pin}"));
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// Through the filter if one runs, as it would put back what it finds missing; else by ourselves.
    fn detach(&self) -> Result<Detached, Failure> {
        match ask_filter(&self.sockets, Action::Detach) {
            Ok(answer) => {
                expect_done("filter", &answer)?;
                match answer {
                    Answer::Detached(detached) => Ok(detached),
                    other => Err(unexpected("filter", &other)),
                }
            }
            Err(error) if matches!(error.downcast_ref(), Some(ClientError::NotRunning(_))) => {
                Ok(detach(&self.pin_dir)?)
            }
            Err(error) => Err(error),
        }
    }
}
