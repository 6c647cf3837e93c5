//! `ravelin ban`.

use std::io::{self, BufRead, IsTerminal as _, Read as _};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::ban_lines::{Defaults, parse};
use super::halves::{PATIENCE, expect_done, unexpected};
use super::output::{print, print_error};
use super::{Failure, Format, Outcome, SocketOptions};
use crate::control::bans::NewBan;
use crate::control::client::Connection;
use crate::control::protocol::{REQUEST_BYTES, Request};
use crate::control::{Action, Answer};

/// Drop every packet from an address or prefix, for a while
///
/// In effect before the command is over. A ban outlives restarts of the filter, not of the host, and ends by itself, whether a filter runs or
/// not. A prefix that is banned already gets the new end and reason. `[never_ban]` of the policy and the essentials win over every ban.
///
/// With `--from-stdin`, one ban a line: `PREFIX [DURATION] [REASON]`, where DURATION is as for `--for`, or whole seconds. Empty lines and what
/// follows `#` or `;` at the start of a line are left out. A line that is no ban is named by its number and skipped: the others are banned.
///
/// Exit code 0: all are banned; 1: some were refused.
#[derive(Args, Debug)]
pub(super) struct Ban {
    /// An address, or a prefix without host bits; not wider than /8 (IPv4) or /19 (IPv6)
    #[arg(value_name = "PREFIX", required_unless_present = "from_stdin")]
    prefixes: Vec<String>,
    /// For how long: `90s`, `10m`, `6h`, `7d`, at most `365d`; with `--from-stdin`, of lines that do not say
    #[arg(long = "for", value_name = "DURATION", required_unless_present = "from_stdin")]
    lasts: Option<String>,
    /// Why, for whoever lists the bans: at most 64 bytes; with `--from-stdin`, of lines that do not say
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Read bans from standard input, one a line
    #[arg(long, conflicts_with = "prefixes")]
    from_stdin: bool,
    #[command(flatten)]
    sockets: SocketOptions,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A batch under way.
struct Batch {
    connection: Connection,
    /// Read and not sent, with the number of each one's line.
    waiting: Vec<(u64, NewBan)>,
    /// Bytes of a request that holds those, at most.
    bytes: usize,
    banned: u64,
    refused: u64,
    /// The first of those that were refused.
    told: Vec<(u64, String)>,
    progress: ProgressBar,
}

impl Ban {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let mut batch = Batch {
            connection: Connection::open(&self.sockets.socket, PATIENCE)?,
            waiting: Vec::new(),
            bytes: 0,
            banned: 0,
            refused: 0,
            told: Vec::new(),
            progress: ProgressBar::hidden(),
        };
        if self.from_stdin {
            if io::stderr().is_terminal() {
                batch.progress = progress();
            }
            batch.read(&mut io::stdin().lock(), self.lasts.as_deref(), &self.reason)?;
        } else {
            let lasts = self.lasts.clone().unwrap_or_default();
            for (number, prefix) in (1..).zip(&self.prefixes) {
                let ban = NewBan {
                    prefix: prefix.clone(),
                    lasts: lasts.clone(),
                    reason: self.reason.clone(),
                };
                batch.take(number, ban)?;
            }
        }
        batch.send()?;
        batch.progress.finish_and_clear();
        self.tell(&batch)
    }

    fn tell(&self, batch: &Batch) -> Result<Outcome, Failure> {
        if self.format == Format::Json {
            let refused = batch.told.iter();
            let refused = refused.map(|(number, error)| json!({ "number": number, "error": error }));
            let document = json!({
                "banned": batch.banned,
                "refused": batch.refused,
                "first_refused": refused.collect::<Vec<_>>(),
            });
            print(&document.to_string());
        } else {
            for (number, error) in &batch.told {
                if self.from_stdin {
                    print_error(&format!("line {number}: {error}"));
                } else {
                    print_error(error);
                }
            }
            let rest = batch.refused - batch.told.len() as u64;
            if rest > 0 {
                print_error(&format!("and {rest} more"));
            }
            print(&match (batch.banned, batch.refused) {
                (banned, 0) => format!("banned {banned}"),
                (banned, refused) => format!("banned {banned}, refused {refused}"),
            });
        }
        Ok(if batch.refused == 0 {
            Outcome::Done
        } else {
            Outcome::No
        })
    }
}

impl Batch {
    fn read(&mut self, input: &mut impl BufRead, lasts: Option<&str>, reason: &str) -> Result<(), Failure> {
        let defaults = Defaults { lasts, reason };
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let length = input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)?;
            if length == 0 {
                break;
            }
            if length as u64 == LINE_BYTES && line.last() != Some(&b'\n') {
                input.skip_until(b'\n')?;
                self.refuse(number, format!("longer than {LINE_BYTES} bytes"));
                continue;
            }
            match parse(&String::from_utf8_lossy(&line), &defaults) {
                Ok(None) => {}
                Ok(Some(ban)) => self.take(number, ban)?,
                Err(error) => self.refuse(number, error),
            }
        }
        Ok(())
    }

    fn take(&mut self, number: u64, ban: NewBan) -> Result<(), Failure> {
        // Names, quotes and commas, and as if each character had to be escaped in six.
        let bytes = 64 + 6 * (ban.prefix.len() + ban.lasts.len() + ban.reason.len());
        if self.bytes + bytes > REQUEST_BYTES - 256 {
            self.send()?;
        }
        if bytes > REQUEST_BYTES - 256 {
            self.refuse(number, "too long to be asked for".to_owned());
            return Ok(());
        }
        self.bytes += bytes;
        self.waiting.push((number, ban));
        Ok(())
    }

    fn send(&mut self) -> Result<(), Failure> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (numbers, bans): (Vec<u64>, Vec<NewBan>) = self.waiting.drain(..).unzip();
        self.bytes = 0;
        let request = Request {
            ban: bans,
            ..Request::new(Action::Ban)
        };
        let answer = self.connection.ask(&request)?;
        expect_done("filter", &answer)?;
        let Answer::Banned(done) = answer else {
            return Err(unexpected("filter", &answer));
        };
        self.banned += done.done;
        self.progress.inc(numbers.len() as u64);
        for refused in done.refused {
            let number = numbers.get(refused.index).copied().unwrap_or_default();
            self.refuse(number, refused.error);
        }
        Ok(())
    }

    fn refuse(&mut self, number: u64, error: String) {
        self.refused += 1;
        if self.told.len() < MOST_TOLD {
            self.told.push((number, error));
        }
    }
}

fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} bans, {per_sec}, {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Of one line. A bound: a file without line ends must not fill our memory.
const LINE_BYTES: u64 = 4096;

/// Lines that are named when they are refused: a feed in another format is wrong in every one.
const MOST_TOLD: usize = 20;
