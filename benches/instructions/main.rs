//! How many instructions a TLS connection takes: the gate against changes that make it dearer, on machines where time is noise.
//!
//! The edge runs under callgrind, which counts what it executes. Each load runs a few times and then many times; the difference is
//! what one more costs, without start and end. Figures depend on the compiler and on the libraries, not on how busy the machine is:
//! they are compared with those in `benches/instructions/counts.json`, and more than 10 % above fails. `--keep` of another
//! bench keeps results; here `RAVELIN_BLESS=1` writes the file anew, for a change that is worth its price.

#![expect(clippy::expect_used, reason = "a bench stops when it cannot measure")]

#[path = "../tls/client.rs"]
#[expect(dead_code, reason = "what the other bench measures besides")]
mod client;
#[path = "../tls/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ravelin_benches::{Cell, Report, Table};
use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::pki::{Authority, Pair};

use crate::client::{Clients, Group, Kind, ask};

fn main() {
    let authority = Authority::new();
    let pair = authority.issue(&[NAME]);
    let server = server::start();
    let clients = Clients::new(&authority);
    let known = Counts::read();
    let mut report = Report::new("instructions");
    let mut table = Table::new(
        "instructions of the edge",
        &[("now", ""), ("kept", ""), ("of kept", "%")],
    );
    let mut now = BTreeMap::new();
    for load in LOADS {
        // The least: what else happens in a run, by chance, adds to it.
        let least = |times| {
            let runs = (0..RUNS).map(|_| counted(&pair, server, &clients, &load, times));
            runs.min().expect("a run")
        };
        let [few, many] = load.times.map(least);
        let each = (many - few) / u64::from(load.times[1] - load.times[0]);
        let kept = known.0.get(load.title).copied();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let percent = kept.map(|kept| 100.0 * each as f64 / kept as f64);
        table.row(
            load.title,
            [
                Cell::Count(each),
                kept.map_or(Cell::Missing, Cell::Count),
                percent.map_or(Cell::Missing, Cell::Number),
            ],
        );
        now.insert(load.title.to_owned(), each);
    }
    report.table(&table);
    report.finish();
    let now = Counts(now);
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        return now.write();
    }
    let dearer = now.dearer_than(&known);
    assert!(
        dearer.is_empty(),
        "dearer than what is kept: {}\nhelp: find out why, or keep the new counts with RAVELIN_BLESS=1 and say in the commit what they buy",
        dearer.join(", ")
    );
}

struct Load {
    title: &'static str,
    kind: Kind,
    group: Group,
    times: [u32; 2],
}

const LOADS: [Load; 5] = [
    Load {
        title: "full handshake",
        kind: Kind::Full,
        group: Group::X25519,
        times: [16, 208],
    },
    Load {
        title: "full handshake, post-quantum",
        kind: Kind::Full,
        group: Group::Hybrid,
        times: [16, 208],
    },
    Load {
        title: "resumed handshake",
        kind: Kind::Resumed,
        group: Group::X25519,
        times: [80, 272],
    },
    Load {
        title: "exchange of 1 KB on a kept connection",
        kind: Kind::Exchange { bytes: 1_024 },
        group: Group::X25519,
        times: [100, 1_100],
    },
    Load {
        title: "body of 1 MB",
        kind: Kind::Exchange { bytes: 1_000_000 },
        group: Group::X25519,
        times: [4, 24],
    },
];

/// Instructions of an edge from its start to its end, that had `times` of `load` to carry.
fn counted(pair: &Pair, server: SocketAddr, clients: &Clients, load: &Load, times: u32) -> u64 {
    let address = free();
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["{address}"]
routes = [{{ upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[[upstream]]
name = "app"
servers = ["{server}"]
"#
    );
    let daemon = Daemon::new("bench-instructions", Half::Edge, &policy);
    let counts = daemon.home().directory().join("callgrind");
    fs::write(&counts, "").expect("a file of ours");
    // It is written when the edge has given up root.
    fs::set_permissions(&counts, fs::Permissions::from_mode(0o666)).expect("a file of ours");
    let out = format!("--callgrind-out-file={}", counts.display());
    // One processor, one worker: each seeds its random numbers, for more than all handshakes take.
    let pinned = [
        "taskset",
        "--cpu-list",
        "1",
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        &out,
    ];
    let mut daemon = daemon.wrapped(&pinned);
    daemon.home().write("api.pem", &pair.cert);
    daemon.home().write("api.key", &pair.key);
    daemon.start();
    match load.kind {
        // On one connection: of several, as many move at one wake-up as chance has it.
        Kind::Exchange { bytes } => {
            let (mut stream, runtime) = clients.one(address);
            runtime.block_on(async {
                for _ in 0..times {
                    ask(&mut stream, [0, bytes]).await;
                }
            });
        }
        kind => clients.run(address, kind, load.group, times),
    }
    daemon.stop();
    let text = fs::read_to_string(&counts).expect("callgrind's counts");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.expect("a total").trim().parse().expect("a number")
}

/// Instructions by load.
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn file() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions/counts.json")
    }

    fn read() -> Self {
        let text = fs::read_to_string(Self::file()).unwrap_or_else(|_| "{}".to_owned());
        Self(serde_json::from_str(&text).expect("the kept counts"))
    }

    fn write(&self) {
        let text = serde_json::to_string_pretty(&self.0).expect("JSON is text") + "\n";
        fs::write(Self::file(), text).expect("the kept counts are written");
    }

    /// What takes more than it may.
    fn dearer_than(&self, known: &Self) -> Vec<String> {
        let dearer = self.0.iter().filter(|(title, now)| {
            let kept = known.0.get(*title).copied().unwrap_or(u64::MAX / 200);
            *now * 100 > kept * (100 + TOLERANCE)
        });
        dearer.map(|(title, _)| title.clone()).collect()
    }
}

/// A port of loopback that nobody listens on.
fn free() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a port");
    probe.local_addr().expect("bound")
}

const NAME: &str = "api.example.com";
const RUNS: usize = 3;
/// In percent: what a run adds by chance. Each start seeds random numbers, which takes as much as hundreds of handshakes and is never twice the
/// same, and connections meet in another order.
const TOLERANCE: u64 = 10;
