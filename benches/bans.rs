//! What bans cost: a packet, by how many there are and where it comes from; a batch of a million; a single ban, until it is in effect;
//! memory.
//!
//! "Net" is above a program that only drops, in the same replay; "alone" is above the same policy with `bans = false`, which has no code for
//! them. Times are of a real filter: a batch is `ravelin ban --from-stdin`, a ban is a request on its control socket, and when
//! that is answered the ban is in effect, which is tried with a packet. `--release` binaries, as built by `cargo build --release`.

#![expect(clippy::expect_used, reason = "a bench stops when it cannot measure")]

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use ravelin_benches::{Cell, Device, Peer, Replay, Report, Table, prefixes};
use ravelin_daemon::control::bans::NewBan;
use ravelin_daemon::control::client::Connection;
use ravelin_daemon::control::protocol::Request;
use ravelin_daemon::control::{Action, Answer};
use ravelin_daemon::network::bans::never::Never;
use ravelin_daemon::network::bans::{Bans, Wish};
use ravelin_rules::{Direction, HostFacts, TableImage, load_text};
use ravelin_tests::daemon::Daemon;
use ravelin_tests::packet::ether;
use ravelin_tests::prog_run::{Bench, Kernel, TestPins};
use ravelin_tests::random::Random;
use ravelin_tests::scene::Scene;

fn main() {
    let mut report = Report::new("bans");
    Bench::new("bench-bans").run(|| packets(&mut report));
    times(&mut report);
    report.finish();
}

fn packets(report: &mut Report) {
    report.say(&format!("{ROUNDS} rounds in turn: median (least - most)\n"));
    let columns = [("net", "ns"), ("alone", "ns"), ("verified", ""), ("jited", "B")];
    let mut table = Table::new("bans, sources", &columns);
    let device = Device::new("replayed");
    let image = |bans: bool| {
        let text = format!("[firewall]\nstateful = false\nbans = {bans}\n");
        let policy = load_text(&text).expect("a policy").policy;
        TableImage::compile(&policy, &HostFacts::default(), Direction::Inbound).expect("it fits")
    };
    let mut without = Kernel::load(&image(false));
    for six in [false, true] {
        for count in COUNTS {
            // Maps of their own for each count.
            let pins = TestPins::new();
            let mut with = Kernel::pinned(&image(true), vec![], &pins, &Never::default());
            let mut book = Bans::open(pins.pins()).expect("the maps are there");
            let mut random = Random::new(17);
            let banned: Vec<IpAddr> = (0..count).map(|_| address(&mut random, six)).collect();
            for address in &banned {
                book.ban(&wish(*address), 0).expect("room for a ban");
            }
            // The walk gives the filter the size for so many.
            while book.sweep().expect("a step") {}
            for (inside, word) in [(false, "not banned"), (true, "banned")] {
                if inside && banned.is_empty() {
                    continue;
                }
                let frames: Vec<Vec<u8>> = (0..PACKETS)
                    .map(|_| match inside {
                        true => frame(banned[random.index(banned.len())]),
                        false => frame(address(&mut random, six)),
                    })
                    .collect();
                let mut replay = Replay::new(&frames, device.index());
                let (mut net, mut alone) = (vec![], vec![]);
                for _ in 0..ROUNDS {
                    let empty = replay.peer(Peer::Empty);
                    let [bans, none] = [&mut with, &mut without].map(|kernel| replay.subject(kernel.fd()));
                    net.push(bans - empty);
                    alone.push(bans - none);
                }
                let family = if six { "IPv6" } else { "IPv4" };
                let cells = [
                    Cell::of(net),
                    Cell::of(alone),
                    Cell::Count(with.verified_instructions().into()),
                    Cell::Count(with.jited_bytes().into()),
                ];
                table.row(&format!("{family} {count}, {word}"), cells);
            }
        }
    }
    let cells = [
        Cell::Missing,
        Cell::Missing,
        Cell::Count(without.verified_instructions().into()),
        Cell::Count(without.jited_bytes().into()),
    ];
    table.row("bans = false", cells);
    report.table(&table);
}

fn times(report: &mut Report) {
    let scene = Scene::new("bench-bans-times");
    let filter = scene.filter("bench-bans-times", POLICY);
    let before = memory(&filter);
    let mut random = Random::new(19);
    let mut lines = String::new();
    for number in 0..MILLION {
        let address = address(&mut random, number % 4 == 0);
        writeln!(lines, "{address} 1d feed").expect("text");
    }
    let begin = Instant::now();
    let output = filter.ravelin_reading(&["ban", "--from-stdin"], &lines);
    let batch = begin.elapsed();
    assert!(output.status.success(), "{output:?}");
    let begin = Instant::now();
    let listed = filter.ravelin(&["bans", "--format", "json"]);
    let list = begin.elapsed();
    assert!(listed.stdout.len() > MILLION);
    let after = memory(&filter);

    let mut single = Vec::new();
    let mut connection = Connection::open(&filter.home().socket(), PATIENCE).expect("the filter answers");
    for number in 0..SINGLES {
        let request = Request {
            ban: vec![NewBan {
                prefix: GUEST.to_owned(),
                lasts: "1h".to_owned(),
                reason: String::new(),
            }],
            ..Request::new(Action::Ban)
        };
        let begin = Instant::now();
        let answer = connection.ask(&request).expect("an answer");
        single.push(begin.elapsed());
        assert!(matches!(answer, Answer::Banned(done) if done.done == 1));
        if number % 100 == 0 {
            assert!(!scene.udp_arrives("10.77.0.9:0", TARGET), "the ban is in effect");
        }
        let request = Request {
            unban: vec![GUEST.to_owned()],
            ..Request::new(Action::Unban)
        };
        connection.ask(&request).expect("an answer");
        if number % 100 == 0 {
            assert!(scene.udp_arrives("10.77.0.9:0", TARGET), "the ban is gone");
        }
    }
    single.sort_unstable();
    let mut command: Vec<Duration> = (0..COMMANDS)
        .map(|number| {
            let prefix = format!("198.51.100.{}", number % 250);
            let begin = Instant::now();
            let output = filter.ravelin(&["ban", &prefix, "--for", "1h"]);
            let took = begin.elapsed();
            assert!(output.status.success());
            took
        })
        .collect();
    command.sort_unstable();
    let begin = Instant::now();
    let mut filter = filter;
    filter.kill();
    filter.start();
    let restart = begin.elapsed();

    let of =
        |sorted: &[Duration], percent: usize| sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let mut table = Table::new("with a million bans", &[("figure", "")]);
    let mut row = |name: &str, value: f64| table.row(name, [Cell::Number(value)]);
    row("a batch of a million, s", batch.as_secs_f64());
    row("listing a million as JSON, s", list.as_secs_f64());
    row("a ban by the socket to its effect, p50, ms", of(&single, 50));
    row("a ban by the socket to its effect, p99, ms", of(&single, 99));
    row("a ban by the socket to its effect, longest, ms", of(&single, 100));
    row("`ravelin ban`, the whole command, p50, ms", of(&command, 50));
    row("`ravelin ban`, the whole command, p99, ms", of(&command, 99));
    row("kill -9 and start, s", restart.as_secs_f64());
    row("maps without bans, MiB", before.maps);
    row("maps with a million, MiB", after.maps);
    row("the filter's memory without bans, MiB", before.process);
    row("the filter's memory with a million, MiB", after.process);
    report.table(&table);
}

/// What a filter takes, in MiB.
struct Memory {
    /// Maps of bans, as the kernel says.
    maps: f64,
    /// The process.
    process: f64,
}

fn memory(filter: &Daemon) -> Memory {
    let process = format!("/proc/{}", filter.pid());
    let number = |text: &str, name: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().find_map(|word| word.parse().ok())
    };
    let status = fs::read_to_string(format!("{process}/status")).expect("a process");
    let mut maps = std::collections::BTreeMap::new();
    for entry in fs::read_dir(format!("{process}/fdinfo"))
        .expect("a process")
        .flatten()
    {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let of = |name| number(&text, name);
        if let (Some(id), Some(bytes), Some(value)) = (of("map_id:"), of("memlock:"), of("value_size:"))
            && (value == 24.0 || value == 64.0 || value > 4e6)
        {
            maps.insert(id.to_bits(), bytes);
        }
    }
    Memory {
        maps: maps.values().sum::<f64>() / 1_048_576.0,
        process: number(&status, "VmRSS:").unwrap_or_default() / 1_024.0,
    }
}

fn address(random: &mut Random, six: bool) -> IpAddr {
    if six {
        IpAddr::V6(prefixes::address6(random))
    } else {
        IpAddr::V4(prefixes::address4(random))
    }
}

fn frame(source: IpAddr) -> Vec<u8> {
    match source {
        IpAddr::V4(source) => ether().ipv4().source(source).tcp(443).bytes(),
        IpAddr::V6(source) => ether().ipv6().source(source).tcp(443).bytes(),
    }
}

fn wish(address: IpAddr) -> Wish {
    Wish {
        prefix: IpNet::from(address),
        lasts: Duration::from_secs(86_400),
        reason: "bench".to_owned(),
    }
}

const POLICY: &str = "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n\
    [[rule]]\nname = \"flow\"\naction = \"allow\"\nprotocol = \"udp\"\nports = [5300]\n";
const GUEST: &str = "10.77.0.9";
const TARGET: &str = "10.77.0.2:5300";
const COUNTS: [usize; 4] = [0, 1, 1_000, 1_000_000];
const MILLION: usize = 1_000_000;
const PACKETS: usize = 50_000;
const ROUNDS: usize = 9;
const SINGLES: usize = 2_000;
const COMMANDS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);
