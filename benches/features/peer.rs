//! xdp-filter beside Ravelin: what both can do, a list of addresses and ports that are dropped.
//!
//! xdp-filter's program does not take packets of several buffers, so nothing that does may call it: here one frame is judged
//! again and again, by both. That shows no branch that is guessed wrong, and flatters both alike.

use std::path::PathBuf;
use std::process::Command;

use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use aya_obj::programs::XdpAttachType;
use ravelin_benches::{Cell, Device, Report, Table};
use ravelin_tests::packet::ether;
use ravelin_tests::prog_run::{Kernel, interface};

use crate::{ROUNDS, compile, policy};

/// xdp-filter on an interface; what it pinned is gone when dropped.
struct XdpFilter {
    device: Device,
}

pub(crate) fn compare(report: &mut Report) {
    let filter = match XdpFilter::load() {
        Ok(filter) => filter,
        Err(why) => {
            report.say(&format!("xdp-filter: not measured, {why}"));
            return;
        }
    };
    let mut theirs = filter.program();
    let mut ours = Kernel::load(&compile(&policy(RULES)));
    let mut table = Table::new(
        "one frame again and again",
        &[("Ravelin", "ns"), ("xdp-filter", "ns")],
    );
    for (name, frame) in [
        ("address on the list", ether().ipv4().source("192.0.2.7").udp(9)),
        ("port on the list", ether().ipv4().source("203.0.113.9").udp(53)),
        ("neither", ether().ipv4().source("203.0.113.9").udp(9)),
    ] {
        let frame = frame.bytes();
        let mut rounds: [Vec<f64>; 2] = Default::default();
        for _ in 0..ROUNDS {
            rounds[0].push(repeated(ours.program(), &frame));
            rounds[1].push(repeated(&mut theirs, &frame));
        }
        table.row(name, rounds.map(Cell::of));
    }
    table.row(
        "jited, bytes",
        [
            Cell::Count(ours.jited_bytes().into()),
            Cell::Count(theirs.info().expect("a loaded program").size_jitted().into()),
        ],
    );
    report.table(&table);
}

/// Nanoseconds a run, the test run's own included.
fn repeated(program: &mut Xdp, frame: &[u8]) -> f64 {
    let mut context = [0; 24];
    let end = u32::try_from(frame.len()).expect("a frame's length");
    for (field, word) in context.chunks_exact_mut(4).zip([0, end, 0, interface(), 0, 0]) {
        field.copy_from_slice(&word.to_ne_bytes());
    }
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.ctx_in = Some(&context);
    options.repeat = 1_000_000;
    options.attrs = TestRunAttrs::new();
    let result = program.test_run(options).expect("a test run");
    result.duration.as_secs_f64() * 1e9
}

impl XdpFilter {
    fn load() -> Result<Self, String> {
        if PathBuf::from(PINS).exists() {
            return Err(format!("`{PINS}` is there: this machine uses it"));
        }
        let filter = Self {
            device: Device::new("xdpfilter"),
        };
        run(&["load", "--mode", "native", filter.device.name()])?;
        for host in 0..=255 {
            run(&["ip", "--mode", "src", &format!("192.0.2.{host}")])?;
        }
        run(&["port", "--mode", "dst", "--proto", "udp", "53"])?;
        Ok(filter)
    }

    fn program(&self) -> Xdp {
        let folder = PathBuf::from(PINS).join("programs").join(self.device.name());
        let mut pins = std::fs::read_dir(folder).expect("xdp-filter pins its program");
        let pin = pins.next().expect("one program").expect("an entry").path();
        Xdp::from_pin(pin, XdpAttachType::Interface).expect("an XDP program")
    }
}

impl Drop for XdpFilter {
    fn drop(&mut self) {
        let _best_effort = run(&["unload", self.device.name()]);
        // libxdp leaves its folder behind; it goes only when nobody else has something in it.
        let _best_effort = std::fs::remove_dir("/sys/fs/bpf/xdp");
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("xdp-filter")
        .args(arguments)
        .output()
        .map_err(|error| format!("it is not installed: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("`xdp-filter {}`: {said}", arguments.join(" ")))
}

/// Where xdp-filter keeps its program and its lists.
const PINS: &str = "/sys/fs/bpf/xdp-filter";
/// The same addresses and the same port.
const RULES: &str = r#"
[[rule]]
name   = "addresses"
action = "deny"
source = "192.0.2.0/24"
[[rule]]
name     = "port"
action   = "deny"
protocol = "udp"
ports    = 53
[[rule]]
name   = "others"
action = "allow"
"#;
