//! How long it takes until a policy is live, and whether packets notice: rule sets of 10,000 and sets of up to a million prefixes
//! read, compiled, loaded, swapped in; a line of a set file that comes or goes; and the longest gap in a stream of packets while
//! policies are swapped a hundred times. Beside it `nft -f` with the same rules and sets.
//!
//! Each measurement of times is a process of its own, so that its peak of memory is its own (`VmHWM`); the policies take turns.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench talks to people and stops when it cannot measure"
)]

mod amend;
mod live;
mod stream;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use ravelin_benches::{Cell, Column, Report, Table, nft, prefixes};
use ravelin_daemon::network::addresses;
use ravelin_daemon::network::tables::TableMap;
use ravelin_rules::{Direction, Policy, TableImage, load};
use ravelin_tests::classbench::{self, FAMILIES};
use ravelin_tests::home::Home;
use ravelin_tests::random::Random;
use ravelin_tests::scene::Scene;

use live::{INTERFACE, Live};

fn main() {
    if let Some(subject) = std::env::var_os(CHILD) {
        let figures = measure(&Subject::parse(&subject.display().to_string()));
        let words: Vec<String> = figures.iter().map(f64::to_string).collect();
        println!("{}", words.join(" "));
        return;
    }
    let mut report = Report::new("swap");
    let scene = Scene::new("bench-swap");
    times(&mut report, &scene);
    amend::lines(&mut report, &scene);
    stream::gaps(&mut report, &scene);
    report.finish();
}

/// What is made live.
#[derive(Clone, Debug)]
enum Subject {
    /// A rule set, which is built, not read.
    Rules(&'static str),
    /// So many prefixes, IPv4 or IPv6, in lists below this folder.
    Set(PathBuf),
}

impl Subject {
    fn parse(word: &str) -> Self {
        let family = FAMILIES.into_iter().find(|family| *family == word);
        family.map_or_else(|| Self::Set(word.into()), Subject::Rules)
    }
}

fn times(report: &mut Report, scene: &Scene) {
    report.say(&format!(
        "{ROUNDS} rounds in turn, a process each: median (least - most)\n\
         \"live\" is compiled, loaded and attached while the same policy was on the interface; targets: 500 ms for 10,000 rules, \
         1,000 ms for 1,000,000 prefixes\n"
    ));
    let folders: Vec<(String, tempfile::TempDir)> = SETS.into_iter().map(write).collect();
    let mut subjects: Vec<(String, String)> = FAMILIES
        .iter()
        .map(|family| (format!("{family} 10000"), (*family).to_owned()))
        .collect();
    for (name, folder) in &folders {
        subjects.push((name.clone(), folder.path().display().to_string()));
    }
    let mut rows: Vec<[Vec<f64>; FIGURES]> = subjects.iter().map(|_| Default::default()).collect();
    for round in 0..ROUNDS {
        for ((_, subject), row) in subjects.iter().zip(&mut rows) {
            // What nft needs most of a minute for, it is asked for once.
            let nft = round == 0 || FAMILIES.contains(&subject.as_str());
            for (column, figure) in row.iter_mut().zip(child(scene, subject, nft)) {
                column.push(figure);
            }
        }
    }
    let mut table = Table::new("policy", &COLUMNS);
    for ((name, _), row) in subjects.iter().zip(rows) {
        table.row(name, row.map(Cell::of));
    }
    report.table(&table);
}

/// Runs [`measure`] where the interface is.
fn child(scene: &Scene, subject: &str, nft: bool) -> Vec<f64> {
    let program = std::env::current_exe().expect("this program");
    let mut command = scene.host.command(&program.display().to_string());
    command.env(CHILD, subject);
    if !nft {
        command.env(WITHOUT_NFT, "");
    }
    let output = command.output().expect("it runs again");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{subject}: {said}");
    let text = String::from_utf8(output.stdout).expect("numbers");
    text.split_whitespace()
        .map(|word| word.parse().expect("a number"))
        .collect()
}

/// In the child: the figures of [`COLUMNS`], the last only where nft is asked and installed.
fn measure(subject: &Subject) -> Vec<f64> {
    let home = Home::new("bench-swap-times");
    home.mount_pins();
    let mut live = Live::new(&home);
    let started = Instant::now();
    let policy = match subject {
        Subject::Rules(family) => classbench::policy(family, 10_000),
        Subject::Set(folder) => read(folder),
    };
    let read = started.elapsed();
    let image = compile(&policy);
    live.apply(&image);
    drop(image);
    // As a reload does it: what is live stays so until the new one is.
    let started = Instant::now();
    let image = compile(&policy);
    let compiled = started.elapsed();
    let steps = live.apply(&image);
    let peak = peak_mib();
    // Into the memory of the generation before, which the kernel frees behind our back: a virtual machine gets memory that it
    // never used from its host, page by page.
    thread::sleep(Duration::from_millis(300));
    let (tables, filled) = (live.table_bytes(), fill(&image));
    live.remove();
    let all = compiled + steps.load + steps.attach;
    let mut figures: Vec<f64> = [read, compiled, filled, steps.load, steps.attach, steps.free, all]
        .iter()
        .map(milliseconds)
        .collect();
    figures.extend([peak, mib(tables)]);
    if std::env::var_os(WITHOUT_NFT).is_none() {
        let table = nft::Table::load("swap", &ruleset(subject, &policy));
        figures.extend(table.map(|table| milliseconds(&table.took)));
    }
    figures
}

/// How long the tables alone take to make and write, which is a part of loading.
fn fill(image: &TableImage) -> Duration {
    let slots: Vec<u32> = (0..).take(image.rule_names().len()).collect();
    let started = Instant::now();
    let mut map = TableMap::create(Direction::Inbound, image).expect("room for the tables");
    map.write(image, &slots, 0);
    started.elapsed()
}

fn ruleset(subject: &Subject, policy: &Policy) -> String {
    let Subject::Set(_) = subject else {
        return nft::rules("swap", INTERFACE, policy);
    };
    let included = policy
        .rules
        .iter()
        .filter_map(|rule| rule.source.include.as_ref());
    let elements = included.flat_map(|set| set.elements());
    let prefixes: Vec<IpNet> = elements.map(|element| element.prefix).collect();
    nft::set("swap", INTERFACE, &prefixes)
}

fn read(folder: &Path) -> Policy {
    match load(&folder.join("policy.toml")) {
        Ok(loaded) => loaded.policy,
        Err(report) => panic!("{}", report.render()),
    }
}

/// For the host that this thread is on.
fn compile(policy: &Policy) -> TableImage {
    let host = addresses::facts([INTERFACE].into_iter()).expect("the kernel tells the addresses");
    TableImage::compile(policy, &host, Direction::Inbound).expect("it fits")
}

/// A set of so many prefixes, in files.
fn write((size, six): (usize, bool)) -> (String, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let prefixes = prefixes::prefixes(&mut Random::new(7), size, if six { 10 } else { 0 });
    let _path = prefixes::write_policy(folder.path(), &prefixes, 1);
    let name = format!("set of {size}, {}", if six { "IPv6" } else { "IPv4" });
    (name, folder)
}

fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("a process has a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: f64 = peak
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .expect("kilobytes");
    peak / 1024.0
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).expect("tables are small")) / 1024.0
}

const SETS: [(usize, bool); 4] = [
    (100_000, false),
    (1_000_000, false),
    (100_000, true),
    (1_000_000, true),
];
const FIGURES: usize = 10;
const COLUMNS: [Column; FIGURES] = [
    ("read", "ms"),
    ("compile", "ms"),
    ("fill", "ms"),
    ("load, fill included", "ms"),
    ("attach", "ms"),
    ("free", "ms"),
    ("live", "ms"),
    ("peak", "MiB"),
    ("tables", "MiB"),
    ("nft -f", "ms"),
];
const ROUNDS: usize = 5;
/// Tells the child what it measures: a family, or a folder.
const CHILD: &str = "RAVELIN_BENCH_SWAP";
const WITHOUT_NFT: &str = "RAVELIN_BENCH_SWAP_WITHOUT_NFT";
