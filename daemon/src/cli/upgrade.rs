//! `ravelin upgrade`.

use std::time::Duration;

use clap::Args;

use super::halves::{expect_done, unexpected};
use super::output::print;
use super::{Failure, Format, Outcome, SocketOptions};
use crate::control::client::{ClientError, ask};
use crate::control::{Action, Answer};

/// Replace the running edge by the binary that is on disk now, without losing a connection
///
/// For `ravelin run`. An edge that was started alone is replaced by starting another with `ravelin edge --take-over`.
#[derive(Args, Debug)]
pub(super) struct Upgrade {
    #[command(flatten)]
    sockets: SocketOptions,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Upgrade {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let answer = match ask(&self.sockets.socket, Action::Upgrade, PATIENCE) {
            Err(error @ ClientError::NotRunning(_)) => {
                let hint = "an edge that runs alone is replaced by `ravelin edge --take-over`";
                return Err(format!("{error}\nhelp: {hint}").into());
            }
            answer => answer?,
        };
        if self.format == Format::Json {
            print(&serde_json::to_string(&answer)?);
        }
        expect_done("filter", &answer)?;
        let Answer::Upgraded { pid } = answer else {
            return Err(unexpected("filter", &answer));
        };
        if self.format == Format::Text {
            print(&format!("edge: process {pid} serves; the one before it drains"));
        }
        Ok(Outcome::Done)
    }
}

/// Longer than the filter waits for the new edge.
const PATIENCE: Duration = Duration::from_secs(90);
