//! What a TLS connection costs the processor, the memory and the client: full and resumed handshakes, small exchanges on a kept
//! connection, large bodies, idle connections. Beside it haproxy, nginx (stream) and hitch, where they are installed.
//!
//! Each proxy runs on one thread, on the second processor; the clients and the server behind it run on the first. What is measured is
//! the processor time of the proxy's processes as the scheduler counts it: a busy client makes a round longer, not dearer. All
//! have the same ECDSA certificate and the same server, and get the same clients, which offer one cipher suite, that of browsers. A round with a failed exchange is void.

#![expect(clippy::expect_used, reason = "a bench stops when it cannot measure")]

mod client;
mod latency;
mod proxies;
mod server;

use ravelin_benches::{Cell, Column, Report, Table, processor};
use ravelin_tests::pki::Authority;

use crate::client::{Clients, Group, Kind};
use crate::proxies::Proxy;

fn main() {
    let mut report = Report::new("tls");
    processor::pin_self(0);
    let authority = Authority::new();
    let pair = authority.issue(&[NAME]);
    let server = server::start();
    let proxies = proxies::start_all(&pair, server);
    let clients = Clients::new(&authority);
    for proxy in &proxies {
        report.say(&format!("{}: {}", proxy.name, proxy.version));
    }
    report.say(&format!(
        "\n{ROUNDS} rounds in turn: median (least - most); failures: {}\n",
        "none, or the bench stops"
    ));
    costs(&mut report, &proxies, &clients);
    latencies(&mut report, &proxies, &clients, server);
    memory(&mut report, &proxies, &clients);
    report.finish();
}

/// A way to spend the proxy's time, how it is repeated, and the unit of one repetition.
struct Load {
    title: &'static str,
    kind: Kind,
    group: Group,
    times: u32,
    /// Repetitions in one: bytes of a body.
    each: f64,
    column: Column,
}

const LOADS: [Load; 6] = [
    Load {
        title: "full handshake",
        kind: Kind::Full,
        group: Group::X25519,
        times: 400,
        each: 1.0,
        column: ("processor", "us"),
    },
    Load {
        title: "full handshake, post-quantum where there is one",
        kind: Kind::Full,
        group: Group::Hybrid,
        times: 400,
        each: 1.0,
        column: ("processor", "us"),
    },
    Load {
        title: "resumed handshake",
        kind: Kind::Resumed,
        group: Group::X25519,
        times: 400,
        each: 1.0,
        column: ("processor", "us"),
    },
    Load {
        title: "exchange of 1 KB on a kept connection",
        kind: Kind::Exchange { bytes: 1_024 },
        group: Group::X25519,
        times: 8_000,
        each: 1.0,
        column: ("processor", "us"),
    },
    Load {
        title: "body of 10 MB",
        kind: Kind::Exchange { bytes: BODY },
        group: Group::X25519,
        times: 8,
        each: BODY as f64 / 1_000.0,
        column: ("processor", "ns/B"),
    },
    Load {
        title: "upload of 10 MB",
        kind: Kind::Upload { bytes: BODY },
        group: Group::X25519,
        times: 8,
        each: BODY as f64 / 1_000.0,
        column: ("processor", "ns/B"),
    },
];

fn costs(report: &mut Report, proxies: &[Proxy], clients: &Clients) {
    for load in LOADS {
        let mut spent = vec![vec![]; proxies.len()];
        for proxy in proxies {
            // What the first connection of all sets up, and tickets to resume with.
            clients.run(proxy.address, load.kind, load.group, WARM_UP.min(load.times));
        }
        for _ in 0..ROUNDS {
            for (proxy, spent) in proxies.iter().zip(&mut spent) {
                let before = processor::spent(&proxy.processes());
                clients.run(proxy.address, load.kind, load.group, load.times);
                let after = processor::spent(&proxy.processes());
                let micros = (after - before).as_secs_f64() * 1e6;
                spent.push(micros / f64::from(load.times) / load.each);
            }
        }
        let ratios = ratios(&spent);
        let mut table = Table::new(load.title, &[load.column, ("of Ravelin's", "")]);
        for ((proxy, spent), ratio) in proxies.iter().zip(spent).zip(ratios) {
            table.row(proxy.name, [Cell::of(spent), Cell::of(ratio)]);
        }
        report.table(&table);
    }
}

/// Round by round, how many times what the first costs.
fn ratios(spent: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let first = spent.first().expect("Ravelin is the first");
    let ratio = |other: &Vec<f64>| {
        other
            .iter()
            .zip(first)
            .map(|(other, first)| other / first)
            .collect()
    };
    spent.iter().map(ratio).collect()
}

fn latencies(report: &mut Report, proxies: &[Proxy], clients: &Clients, server: std::net::SocketAddr) {
    let columns = [
        ("p50", "us"),
        ("p99", "us"),
        ("added p50", "us"),
        ("added p99", "us"),
    ];
    let mut table = Table::new("latency of an exchange of 1 KB, one client", &columns);
    let direct: Vec<_> = (0..ROUNDS).map(|_| latency::direct(clients, server)).collect();
    let column = |rounds: &[[f64; 2]], at: usize| Cell::of(rounds.iter().map(|round| round[at]).collect());
    table.row(
        "none (without TLS)",
        [
            column(&direct, 0),
            column(&direct, 1),
            Cell::Missing,
            Cell::Missing,
        ],
    );
    let mut all = vec![vec![]; proxies.len()];
    for _ in 0..ROUNDS {
        for (proxy, rounds) in proxies.iter().zip(&mut all) {
            rounds.push(latency::through(clients, proxy.address));
        }
    }
    for (proxy, rounds) in proxies.iter().zip(all) {
        let pairs = rounds.iter().zip(&direct);
        let added: Vec<[f64; 2]> = pairs
            .map(|(round, direct)| [round[0] - direct[0], round[1] - direct[1]])
            .collect();
        table.row(
            proxy.name,
            [
                column(&rounds, 0),
                column(&rounds, 1),
                column(&added, 0),
                column(&added, 1),
            ],
        );
    }
    report.table(&table);
}

fn memory(report: &mut Report, proxies: &[Proxy], clients: &Clients) {
    let mut table = Table::new(
        "memory of an idle connection, after an exchange of 1 KB",
        &[("resident", "KiB")],
    );
    for proxy in proxies {
        // What a burst leaves behind is not of the idle ones.
        clients.run(proxy.address, Kind::Full, Group::X25519, WARM_UP);
        let before = processor::resident(&proxy.processes());
        let held = clients.hold(proxy.address, IDLE);
        let after = processor::resident(&proxy.processes());
        drop(held);
        table.row(proxy.name, [Cell::Number((after - before) / f64::from(IDLE))]);
    }
    report.table(&table);
}

const NAME: &str = "api.example.com";
const ROUNDS: usize = 7;
const WARM_UP: u32 = 64;
const BODY: u32 = 10_000_000;
/// Idle connections held at once: what a connection costs is far above the noise of an allocator.
const IDLE: u32 = 2_000;
