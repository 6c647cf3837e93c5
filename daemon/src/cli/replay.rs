//! `ravelin replay`: what a policy would have done with captured traffic.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ravelin_rules::explain::Way;
use ravelin_rules::policy::HostFacts;
use ravelin_rules::replay::{Judge, Summary, replay};
use ravelin_rules::{Direction, Loaded, TableImage};

use super::output::print;
use super::subject::{load, open, refused};
use super::{Failure, Format, Outcome, host};

/// Judge captured traffic: what a policy would have done with it, and why
///
/// Reads pcap and pcapng files of Ethernet, raw IP, Linux cooked and loopback captures. Every packet is judged by the compiled
/// tables, as one that the host receives now, and a sample also by the oracle. Each is judged alone, as a packet of no flow: where
/// the policy keeps flows, replies are judged by the rules, and limits are not asked; the summary says so. Exit code 0: done, and with `--against`, nothing
/// is judged otherwise; 1: something is; 2: the capture could not be read to its end (what was read is told all the same).
#[derive(Args, Debug)]
pub(super) struct Replay {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The capture; `/dev/stdin` for a pipe
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    /// Also tell the flows that this policy judges otherwise
    #[arg(long, value_name = "OLD")]
    against: Option<PathBuf>,
    /// Which way the packets go: `inbound` or `outbound`
    #[arg(long, value_name = "DIRECTION", default_value = "inbound", value_parser = direction)]
    direction: Direction,
    /// The interface that they use; when not given: the policy's first
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// An address of the host, or INTERFACE=ADDRESS; may be given several times. When not given: those this machine holds on
    /// the policy's interfaces
    #[arg(long = "host-address", value_name = "[INTERFACE=]ADDRESS")]
    host_addresses: Vec<String>,
    /// The moment at which all of them are judged, like 2026-12-31T00:00:00Z; when not given: now
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
    /// How the summary is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A policy, ready to judge.
struct Side {
    loaded: Loaded,
    host: HostFacts,
    image: TableImage,
    way: Way,
}

impl Replay {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let new = self.side(&self.file)?;
        let old = self.against.as_deref().map(|file| self.side(file)).transpose()?;
        let capture = open(&self.capture)?;
        let length = capture.metadata().map_or(0, |metadata| metadata.len());
        let progress = progress(length);
        let (summary, read) = replay(
            progress.wrap_read(capture),
            new.judge(),
            old.as_ref().map(Side::judge),
        );
        progress.finish_and_clear();
        match self.format {
            Format::Json => print(&summary.to_json()),
            Format::Text => print(&summary.to_string()),
        }
        read?;
        if summary.disagreements > 0 {
            return Err("the tables and the oracle disagree: this is a bug in Ravelin, please report".into());
        }
        Ok(outcome(&summary))
    }

    fn side(&self, file: &Path) -> Result<Side, Failure> {
        let loaded = load(file)?;
        let now = self.at.as_deref().map(host::moment).transpose()?;
        let host = host::assumed(&loaded.policy, &self.host_addresses, now)?;
        let origin = host::origin(&loaded.policy, &host, self.interface.as_deref())?;
        let image = loaded
            .compile(&host, self.direction)
            .map_err(|report| refused(file, &report))?;
        let direction = self.direction;
        Ok(Side {
            loaded,
            host,
            image,
            way: Way { direction, origin },
        })
    }
}

impl Side {
    fn judge(&self) -> Judge<'_> {
        Judge {
            policy: &self.loaded.policy,
            host: &self.host,
            image: &self.image,
            way: self.way,
        }
    }
}

fn outcome(summary: &Summary) -> Outcome {
    match &summary.changed {
        Some(changed) if changed.packets() > 0 => Outcome::No,
        _ => Outcome::Done,
    }
}

/// A bar for people; nothing in a pipe or a log.
fn progress(length: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = if length > 0 {
        "replaying [{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left"
    } else {
        "replaying {spinner} {bytes}, {bytes_per_sec}"
    };
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::new(length);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_mistyped) => bar,
    }
}

fn direction(word: &str) -> Result<Direction, String> {
    let mut directions = Direction::ALL.into_iter();
    let found = directions.find(|direction| direction.word() == word);
    found.ok_or_else(|| "write `inbound` or `outbound`".to_owned())
}
