//! `ravelin bans`.

use std::io::{self, BufWriter, Write};
use std::net::IpAddr;

use clap::Args;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::halves::{PATIENCE, expect_done, unexpected};
use super::output::print;
use super::{Failure, Format, Outcome, SocketOptions};
use crate::control::bans::{BanLine, BansPage, Which};
use crate::control::client::Connection;
use crate::control::protocol::Request;
use crate::control::{Action, Answer};

/// List the live bans, or those that cover an address
///
/// In no order; a ban that is there all the while is listed once, whatever comes and goes. With `--format json`, one object a line. With ADDRESS, exit code 0: its
/// packets are dropped by a ban; 1: they are not.
#[derive(Args, Debug)]
pub(super) struct ListBans {
    /// Only the bans that cover this address
    #[arg(value_name = "ADDRESS")]
    address: Option<IpAddr>,
    #[command(flatten)]
    sockets: SocketOptions,
    /// How the bans are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl ListBans {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let mut connection = Connection::open(&self.sockets.socket, PATIENCE)?;
        let mut output = BufWriter::new(io::stdout().lock());
        let mut which = Which {
            from: None,
            covering: self.address,
        };
        let mut listed = 0_u64;
        // A page at a time: a million bans take no more memory than a thousand.
        loop {
            let page = ask(&mut connection, which.clone())?;
            if listed == 0 && self.format == Format::Text && !page.bans.is_empty() {
                let head = format!(
                    "{:<43} {:>11}  {:<20} {:>6}  reason\n",
                    "prefix", "left", "made", "user"
                );
                if output.write_all(head.as_bytes()).is_err() {
                    return Ok(Outcome::Done);
                }
            }
            listed += page.bans.len() as u64;
            if page.bans.iter().any(|ban| self.write(&mut output, ban).is_err()) {
                // Whoever reads has seen what was wanted.
                return Ok(Outcome::Done);
            }
            which.from = page.next;
            if page.next.is_none() {
                drop(output);
                return Ok(self.end(&page, listed));
            }
        }
    }

    fn write(&self, output: &mut impl Write, ban: &BanLine) -> io::Result<()> {
        if self.format == Format::Json {
            serde_json::to_writer(&mut *output, ban)?;
            return output.write_all(b"\n");
        }
        writeln!(
            output,
            "{:<43} {:>11}  {:<20} {:>6}  {}",
            ban.prefix,
            left(ban.seconds_left),
            moment(ban.made),
            ban.user,
            ban.reason
        )
    }

    fn end(&self, page: &BansPage, listed: u64) -> Outcome {
        let Some(address) = self.address else {
            if self.format == Format::Text && listed == 0 {
                print("nobody is banned");
            }
            return Outcome::Done;
        };
        if self.format == Format::Text {
            match (&page.never_ban, listed) {
                (Some(entry), _) => print(&format!(
                    "{address} is not banned: `{entry}` of `[never_ban]` covers it"
                )),
                (None, 0) => print(&format!("{address} is not banned")),
                _ => {}
            }
        }
        if listed > 0 && page.never_ban.is_none() {
            Outcome::Done
        } else {
            Outcome::No
        }
    }
}

fn ask(connection: &mut Connection, which: Which) -> Result<BansPage, Failure> {
    let request = Request {
        bans: Some(which),
        ..Request::new(Action::Bans)
    };
    let answer = connection.ask(&request)?;
    expect_done("filter", &answer)?;
    match answer {
        Answer::Bans(page) => Ok(page),
        other => Err(unexpected("filter", &other)),
    }
}

/// The two largest units: `6d 23h`.
fn left(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

fn moment(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok();
    let moment = moment.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| "?".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{left, moment};

    #[test]
    fn what_is_left_is_told_in_two_units() {
        let texts = [1, 59, 60, 3_599, 3_600, 86_399, 86_400, 31_536_000].map(left);
        assert_eq!(
            texts,
            [
                "1s", "59s", "1m 0s", "59m 59s", "1h 0m", "23h 59m", "1d 0h", "365d 0h"
            ]
        );
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
    }
}
