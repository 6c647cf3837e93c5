//! What a million addresses cost: one file, a hundred files; to read and check, to compile, and in memory at the most. Beside it
//! `nft -f` with the same set in a network namespace, where it is installed.
//!
//! Each measurement is a process of its own, so that its peak of memory is its own (`VmHWM`); the shapes take turns.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench talks to people and stops when it cannot measure"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use ipnet::IpNet;
use ravelin_benches::{Cell, Report, Table, prefixes};
use ravelin_rules::{Direction, HostFacts, load};
use ravelin_tests::random::Random;

/// How many addresses are IPv6, of ten.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    files: usize,
    six: u64,
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "1 file, IPv4",
        files: 1,
        six: 0,
    },
    Shape {
        name: "100 files, IPv4",
        files: 100,
        six: 0,
    },
    Shape {
        name: "1 file, 3 of 10 IPv6",
        files: 1,
        six: 3,
    },
];

fn main() {
    if let Some(policy) = std::env::var_os(CHILD) {
        measure(Path::new(&policy));
        return;
    }
    let mut report = Report::new("sets");
    report.say(&format!(
        "{ENTRIES} random prefixes (/24 to /32, /48 to /128); {ROUNDS} rounds in turn: median (least - most)\n"
    ));
    let folders: Vec<_> = SHAPES.iter().map(write).collect();
    let mut rows: Vec<[Vec<f64>; 5]> = SHAPES.iter().map(|_| Default::default()).collect();
    for _ in 0..ROUNDS {
        for (folder, row) in folders.iter().zip(&mut rows) {
            for (column, figure) in row.iter_mut().zip(child(folder.path())) {
                column.push(figure);
            }
            row[4].extend(nft(folder.path()));
        }
    }
    let columns = [
        ("read and check", "s"),
        ("compile", "s"),
        ("peak", "MiB"),
        ("tables", "MiB"),
        ("nft -f", "s"),
    ];
    let mut table = Table::new("shape", &columns);
    for (shape, row) in SHAPES.iter().zip(rows) {
        table.row(shape.name, row.map(Cell::of));
    }
    report.table(&table);
    report.finish();
}

/// The child: reads, compiles, and prints its figures.
fn measure(policy: &Path) {
    let started = Instant::now();
    let loaded = load(policy).expect("the policy is good");
    let checked = started.elapsed();
    let started = Instant::now();
    let image = loaded
        .compile(&HostFacts::assumed(&loaded.policy, &[]), Direction::Inbound)
        .expect("it fits");
    let compiled = started.elapsed();
    let status = fs::read_to_string("/proc/self/status").expect("a process has a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: f64 = peak
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .expect("kilobytes");
    let tables = u32::try_from(image.report().bytes >> 10).expect("tables are small");
    println!(
        "{} {} {} {}",
        checked.as_secs_f64(),
        compiled.as_secs_f64(),
        peak / 1024.0,
        f64::from(tables) / 1024.0
    );
}

fn child(folder: &Path) -> Vec<f64> {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .env(CHILD, folder.join("policy.toml"))
        .output()
        .expect("it runs again");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("numbers");
    text.split_whitespace()
        .map(|word| word.parse().expect("a number"))
        .collect()
}

/// The seconds that nft takes for the same set, in a namespace of its own.
fn nft(folder: &Path) -> Option<f64> {
    let name = format!("rv-bench-sets-{}", std::process::id());
    let ip = |arguments: &[&str]| Command::new("ip").args(arguments).output();
    let installed = Command::new("nft").arg("--version").output().is_ok();
    if !installed || !ip(&["netns", "add", &name]).is_ok_and(|output| output.status.success()) {
        return None;
    }
    let started = Instant::now();
    let ruleset = folder.join("ruleset.nft");
    let loaded = Command::new("ip")
        .args(["netns", "exec", &name, "nft", "-f"])
        .arg(&ruleset)
        .output();
    let took = started.elapsed().as_secs_f64();
    ip(&["netns", "del", &name]).expect("the namespace goes");
    loaded.is_ok_and(|output| output.status.success()).then_some(took)
}

/// The files of a shape: lists, the policy that names them, and the ruleset.
fn write(shape: &Shape) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let prefixes = prefixes::prefixes(&mut Random::new(7), ENTRIES, shape.six);
    let _path = prefixes::write_policy(folder.path(), &prefixes, shape.files);
    let mut ruleset = "table inet bench {\n".to_owned();
    for (name, kind, six) in [("four", "ipv4_addr", false), ("six", "ipv6_addr", true)] {
        let of_kind = prefixes
            .iter()
            .filter(|prefix| matches!(prefix, IpNet::V6(_)) == six);
        let of_kind: Vec<String> = of_kind.map(IpNet::to_string).collect();
        if !of_kind.is_empty() {
            let _ = writeln!(
                ruleset,
                "set {name} {{ type {kind}; flags interval; auto-merge; elements = {{ {} }}\n }}",
                of_kind.join(", ")
            );
        }
    }
    fs::write(folder.path().join("ruleset.nft"), ruleset + "}\n").expect("a ruleset");
    folder
}

const ENTRIES: usize = 1_000_000;
const ROUNDS: usize = 3;
/// Tells the child which policy it measures.
const CHILD: &str = "RAVELIN_BENCH_POLICY";
