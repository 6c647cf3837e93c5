//! `[host]`, `[metrics]` and `[log]`.

use std::fs;
use std::net::SocketAddr;

use super::socket::{self, Bound};
use crate::diagnostic::{Code, Reporter, quote};
use crate::document::host::{Log, Metrics};
use crate::policy::{AccessLog, LogFormat};
use crate::source::Written;

/// `[host] name`, or the name the kernel has.
pub(super) fn name(written: Option<Option<Written<String>>>, reporter: &mut Reporter) -> String {
    let Some(name) = written.flatten() else {
        return own_name();
    };
    if !is_name(&name.value) {
        let message = format!("{} is not a host name", quote(&name.value));
        let help = "write 1 to 253 printable characters without blanks, like `edge-1`";
        reporter.report(Code::BadName, name.span, message, help);
    }
    name.value
}

/// Where metrics are served, if they are.
pub(super) fn metrics(
    written: Option<Metrics>,
    bound: &mut Bound,
    reporter: &mut Reporter,
) -> Option<SocketAddr> {
    let bind = written?.bind?;
    let address = socket::parse(&bind, reporter)?;
    bound.add(address, bind.span, reporter);
    Some(address)
}

/// How the daemon logs.
pub(super) fn log(written: Option<Log>) -> LogFormat {
    match written.and_then(|log| log.format).map(|word| word.value) {
        Some("json") => LogFormat::Json,
        _ => LogFormat::Text,
    }
}

/// Which connections are logged.
pub(super) fn access_log(written: Option<&Log>) -> AccessLog {
    match written.and_then(|log| log.access.as_ref()).map(|word| word.value) {
        Some("all") => AccessLog::All,
        Some("failures") => AccessLog::Failures,
        _ => AccessLog::Off,
    }
}

fn own_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if is_name(name) { name } else { "localhost" }.to_owned()
}

fn is_name(name: &str) -> bool {
    let printable = |c: char| !c.is_whitespace() && !c.is_control();
    (1..=253).contains(&name.len()) && name.chars().all(printable)
}
