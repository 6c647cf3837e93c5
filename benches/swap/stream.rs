//! Whether packets wait for a swap: one processor sends without pause, the other swaps policies of a million prefixes.
//!
//! A veth pair hands a packet to the receiver's XDP program on the sender's processor, before the sender's call returns: whatever
//! stops packets from being judged there is a gap between two calls. The sender comes before every other thread but is not
//! real-time: such a thread, when it never sleeps, is stopped by the kernel for 50 ms in every second, with or without swaps.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, gettid};
use ravelin_benches::{Cell, Report, Table, prefixes};
use ravelin_daemon::network::counters::Counters;
use ravelin_rules::TableImage;
use ravelin_tests::home::Home;
use ravelin_tests::random::Random;
use ravelin_tests::scene::Scene;

use crate::live::{Live, Steps};
use crate::{compile, mib, milliseconds, read};

/// The times between packets that were sent, and judged.
struct Gaps {
    sent: u64,
    refused: u64,
    longest: Duration,
    /// How often the sender had to leave its processor to another thread: a gap that no packet of a network card would see.
    displaced: u64,
    /// How many there were of each length.
    buckets: Vec<u64>,
}

/// A stream, and what became of it.
struct Streamed {
    gaps: Gaps,
    /// Packets that the rule of the stream decided.
    judged: u64,
    /// Packets that the veth pair had no room for: they never came to the filter.
    overflowed: u64,
    took: Duration,
    swaps: Vec<Steps>,
}

pub(crate) fn gaps(report: &mut Report, scene: &Scene) {
    if thread::available_parallelism().map_or(1, usize::from) < 2 {
        report.say("stream: not measured, it takes two processors");
        return;
    }
    let home = Home::new("bench-swap-stream");
    home.mount_pins();
    let images = scene.host.run(|| [8, 9].map(image));
    let mut live = scene.host.run(|| Live::new(&home));
    scene.host.run(|| live.apply(&images[0]));
    settle(scene);
    let mut rows = Vec::new();
    // Streams without swaps last as long as the one before.
    let mut lasts = None;
    for at in 0..2 * PAIRS {
        let swaps = at % 2 == 0;
        let streamed = stream(scene, &mut live, swaps.then_some(&images[..]), lasts);
        lasts = swaps.then_some(streamed.took);
        rows.push(streamed);
    }
    show(report, &rows, mib(live.table_bytes()));
    live.remove();
}

fn show(report: &mut Report, rows: &[Streamed], tables: f64) {
    report.say(&format!(
        "a stream of packets, without swaps and during {SWAPS} swaps of {PREFIXES} prefixes ({tables:.0} MiB of tables)\n"
    ));
    let columns = [
        ("lasts", "s"),
        ("sent", ""),
        ("overflowed", ""),
        ("lost", ""),
        ("longest gap", "µs"),
        ("99.99 %", "µs"),
        ("median", "µs"),
        ("over 1 ms", ""),
        ("displaced", ""),
    ];
    let mut table = Table::new("stream", &columns);
    let mut steps = Table::new("a swap", &[("load", "ms"), ("attach", "ms"), ("free", "ms")]);
    for row in rows {
        let (gaps, lost) = (&row.gaps, row.lost());
        let name = if row.swaps.is_empty() { "alone" } else { "swaps" };
        let cells = [
            Cell::Number(row.took.as_secs_f64()),
            Cell::Count(gaps.sent),
            Cell::Count(row.overflowed + gaps.refused),
            Cell::Words(lost.to_string()),
            Cell::Number(gaps.longest.as_secs_f64() * 1e6),
            Cell::Number(gaps.quantile(0.9999)),
            Cell::Number(gaps.quantile(0.5)),
            Cell::Count(gaps.over(Duration::from_millis(1))),
            Cell::Count(gaps.displaced),
        ];
        table.row(name, cells);
        if !row.swaps.is_empty() {
            let of = |step: fn(&Steps) -> Duration| {
                Cell::of(row.swaps.iter().map(|steps| milliseconds(&step(steps))).collect())
            };
            let cells = [
                of(|steps| steps.load),
                of(|steps| steps.attach),
                of(|steps| steps.free),
            ];
            steps.row("", cells);
        }
    }
    report.table(&table);
    report.table(&steps);
    for row in rows {
        assert_eq!(row.lost(), 0, "packets were judged by another rule, or by none");
    }
}

/// One stream; with images it lasts until they were swapped in turn, else as long as is said.
fn stream(
    scene: &Scene,
    live: &mut Live,
    images: Option<&[TableImage]>,
    lasts: Option<Duration>,
) -> Streamed {
    let before = (judged(live), overflowed(scene));
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let mut swaps = Vec::new();
    let gaps = thread::scope(|scope| {
        let sender = scene.client.enter_and(scope, || send(&stop));
        let swapping = scene.host.enter_and(scope, || {
            pin_to(1);
            let mut swaps = Vec::new();
            match images {
                Some(images) => {
                    for image in images.iter().cycle().take(SWAPS) {
                        swaps.push(live.apply(image));
                    }
                }
                None => thread::sleep(lasts.unwrap_or(Duration::from_secs(1))),
            }
            swaps
        });
        let swapped = swapping.join();
        // Also when a swap failed: the sender would go on.
        stop.store(true, Ordering::Relaxed);
        swaps = swapped.expect("the swaps");
        sender.join().expect("the sender")
    });
    let took = started.elapsed();
    // What is still in the pair's ring is judged at once.
    thread::sleep(Duration::from_millis(100));
    Streamed {
        gaps,
        judged: judged(live) - before.0,
        overflowed: overflowed(scene) - before.1,
        took,
        swaps,
    }
}

/// Sends from the first processor until it is told to stop.
fn send(stop: &AtomicBool) -> Gaps {
    pin_to(0);
    // Before everything that may sleep. Not being allowed to costs precision, no more.
    let _best_effort = Command::new("renice")
        .args(["-n", "-20", "-p", &gettid().to_string()])
        .output();
    let socket = UdpSocket::bind("10.77.0.1:0").expect("bind the sender");
    socket.connect("10.77.0.2:5300").expect("the host is there");
    let mut gaps = Gaps {
        sent: 0,
        refused: 0,
        longest: Duration::ZERO,
        displaced: displaced(),
        buckets: vec![0; BUCKETS],
    };
    let started = Instant::now();
    let mut last = started;
    while !stop.load(Ordering::Relaxed) && last.duration_since(started) < LONGEST {
        match socket.send(b"ravelin") {
            Ok(_) => gaps.sent += 1,
            Err(_no_buffer) => gaps.refused += 1,
        }
        let now = Instant::now();
        gaps.count(now.duration_since(last));
        last = now;
    }
    gaps.displaced = displaced() - gaps.displaced;
    gaps
}

impl Streamed {
    /// Sent, and neither judged nor known to have overflowed; negative when others send to the rule.
    fn lost(&self) -> i64 {
        let signed = |count| i64::try_from(count).expect("a bounded number of packets");
        signed(self.gaps.sent) - signed(self.judged) - signed(self.overflowed)
    }
}

impl Gaps {
    fn count(&mut self, gap: Duration) {
        self.longest = self.longest.max(gap);
        let bucket = usize::try_from(gap.as_nanos() / BUCKET).unwrap_or(usize::MAX);
        if let Some(count) = self.buckets.get_mut(bucket.min(BUCKETS - 1)) {
            *count += 1;
        }
    }

    /// Microseconds that this share of the gaps does not exceed.
    fn quantile(&self, share: f64) -> f64 {
        let all: u64 = self.buckets.iter().sum();
        let mut rest = f64::from(u32::try_from(all).unwrap_or(u32::MAX)) * share;
        for (bucket, count) in (1_u32..).zip(&self.buckets) {
            rest -= f64::from(u32::try_from(*count).unwrap_or(u32::MAX));
            if rest <= 0.0 {
                return f64::from(bucket) * BUCKET_MICROSECONDS;
            }
        }
        self.longest.as_secs_f64() * 1e6
    }

    fn over(&self, length: Duration) -> u64 {
        let first = usize::try_from(length.as_nanos() / BUCKET).unwrap_or(usize::MAX);
        self.buckets.iter().skip(first).sum()
    }
}

/// A million prefixes, and before them the rule that decides the stream.
fn image(seed: u64) -> TableImage {
    let folder = tempfile::tempdir().expect("a folder");
    let set = prefixes::prefixes(&mut Random::new(seed), PREFIXES, 0);
    let path = prefixes::write_policy(folder.path(), &set, 1);
    let text = std::fs::read_to_string(&path).expect("the policy") + RULE;
    std::fs::write(&path, text).expect("the policy");
    compile(&read(folder.path()))
}

/// The neighbour is known before the first packet is timed.
fn settle(scene: &Scene) {
    let socket = scene.client.run(|| UdpSocket::bind("10.77.0.1:0"));
    let socket = socket.expect("bind the sender");
    for _ in 0..20 {
        let _best_effort = socket.send_to(b"settle", "10.77.0.2:5301");
        thread::sleep(Duration::from_millis(20));
    }
}

fn judged(live: &Live) -> u64 {
    let counters = Counters::open(&live.pins).expect("the counters are pinned");
    let names = counters.names().expect("the names of the rules");
    let slot = names.iter().find(|(name, _)| name.to_string() == "stream");
    let (_, slot) = slot.expect("the rule has a counter");
    counters.rule(*slot).expect("the counter").packets
}

fn overflowed(scene: &Scene) -> u64 {
    let words = ["-json", "-stats", "link", "show", "dev", "up"];
    let output = scene.client.command("ip").args(words).output().expect("ip runs");
    let links: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    links[0]["stats64"]["tx"]["dropped"].as_u64().expect("a count")
}

/// Of this thread, so far.
fn displaced() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("a thread has a status");
    let count = status
        .lines()
        .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    count
        .and_then(|count| count.trim().parse().ok())
        .expect("a count")
}

fn pin_to(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor).expect("a processor");
    sched_setaffinity(Pid::from_raw(0), &set).expect("the processor is there");
}

const PREFIXES: usize = 1_000_000;
const SWAPS: usize = 100;
/// Streams with swaps, and as many without.
const PAIRS: usize = 3;
/// The sender stops by itself.
const LONGEST: Duration = Duration::from_secs(300);
/// Nanoseconds of a bucket: 100 ms are told apart.
const BUCKET: u128 = 100;
const BUCKET_MICROSECONDS: f64 = 0.1;
const BUCKETS: usize = 1_000_000;
const RULE: &str = r#"
[[rule]]
name     = "stream"
priority = 1
action   = "deny"
protocol = "udp"
ports    = 5300
"#;
