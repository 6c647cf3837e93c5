//! `promtool check metrics`: what Prometheus' own tool thinks of a page of ours.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Panics with the tool's words when it has any. Needs `promtool` ([`mod@crate::requires`]).
#[track_caller]
pub fn check_metrics(page: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`promtool` does not run: {error}"));
    let mut stdin = promtool.stdin.take().expect("piped");
    stdin.write_all(page.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}\n{page}",
        String::from_utf8_lossy(&said)
    );
}
