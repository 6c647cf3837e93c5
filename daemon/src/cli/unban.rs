//! `ravelin unban`.

use clap::Args;

use super::halves::{PATIENCE, expect_done, unexpected};
use super::output::{print, print_error};
use super::{Failure, Format, Outcome, SocketOptions};
use crate::control::client::Connection;
use crate::control::protocol::Request;
use crate::control::{Action, Answer};

/// Take bans away, by the prefixes that were banned; exit code 1 if one is not banned
#[derive(Args, Debug)]
pub(super) struct Unban {
    /// The prefixes, exactly as `ravelin bans` lists them
    #[arg(value_name = "PREFIX", required = true)]
    prefixes: Vec<String>,
    #[command(flatten)]
    sockets: SocketOptions,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Unban {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let mut connection = Connection::open(&self.sockets.socket, PATIENCE)?;
        let mut total = crate::control::bans::Done::default();
        // A command line can be longer than a request.
        for some in self.prefixes.chunks(CHUNK) {
            let request = Request {
                unban: some.to_vec(),
                ..Request::new(Action::Unban)
            };
            let answer = connection.ask(&request)?;
            expect_done("filter", &answer)?;
            let Answer::Unbanned(done) = answer else {
                return Err(unexpected("filter", &answer));
            };
            total.done += done.done;
            total.refused.extend(done.refused);
        }
        match self.format {
            Format::Json => print(&serde_json::to_string(&total)?),
            Format::Text => {
                total
                    .refused
                    .iter()
                    .for_each(|refused| print_error(&refused.error));
                print(&format!("unbanned {}", total.done));
            }
        }
        Ok(if total.refused.is_empty() {
            Outcome::Done
        } else {
            Outcome::No
        })
    }
}

const CHUNK: usize = 500;
