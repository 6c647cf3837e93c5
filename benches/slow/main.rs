//! What clients that never finish a handshake cost one that does: 5,000 half hellos and 2,000 at a byte a second, all of them back as
//! soon as they are closed.
//!
//! The edge has the second processor; the healthy client, the server and the crowd share the first. So the crowd slows the healthy client
//! by itself, and is measured against a listener of no use as well: the ratio to that is the edge's. Every slow connection is closed in
//! time and every exchange of the healthy client succeeds, or the bench fails.

#![expect(clippy::expect_used, reason = "a bench stops when it cannot measure")]

mod crowd;
mod healthy;
mod nobody;
#[path = "../tls/server.rs"]
mod server;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ravelin_benches::{Cell, Report, Table, processor};
use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::pki::Authority;

use crate::crowd::{CLIENTS, Crowd, GRACE, Tally};
use crate::healthy::{Healthy, Waits};

fn main() {
    let mut report = Report::new("slow");
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("more descriptors");
    // Both ends of a crowd against nobody are in this process.
    assert!(most > 2 * CLIENTS as u64 + 100, "not enough descriptors: {most}");
    processor::pin_self(0);
    let (nobody, server) = (nobody::start(), server::start());
    let authority = Authority::new();
    let (daemon, address) = edge(&authority, server);
    let process = [daemon.pid().as_raw().unsigned_abs()];
    let healthy = Healthy::new(&authority, address);
    let hello: Arc<[u8]> = healthy.hello().into();
    healthy.come_for(WARM_UP);

    let idle = processor::resident(&process);
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        rounds.alone.push(healthy.come_for(PART));
        let (waits, _) = beside(nobody, &hello, || healthy.come_for(PART));
        rounds.beside.push(waits);
        let ((waits, share, resident), tally) = beside(address, &hello, || {
            let before = processor::spent(&process);
            let waits = healthy.come_for(PART);
            let share = (processor::spent(&process) - before).as_secs_f64() / PART.as_secs_f64();
            (waits, share, processor::resident(&process))
        });
        rounds.during.push(waits);
        rounds.busy.push(share * 100.0);
        rounds.resident.push(resident);
        rounds.tallies.push(tally);
        // The edge sees the ends of thousands at once.
        thread::sleep(CALM);
    }
    rounds.tell(&mut report, idle);
    report.finish();
}

/// What `work` finds while the crowd, all of it there, is at `target`.
fn beside<T>(target: SocketAddr, hello: &Arc<[u8]>, work: impl FnOnce() -> T) -> (T, Tally) {
    let crowd = Crowd::against(target, hello);
    thread::sleep(HANDSHAKE_TIMEOUT + GRACE);
    let found = work();
    (found, crowd.end())
}

#[derive(Default)]
struct Rounds {
    alone: Vec<Waits>,
    beside: Vec<Waits>,
    during: Vec<Waits>,
    busy: Vec<f64>,
    resident: Vec<f64>,
    tallies: Vec<Tally>,
}

impl Rounds {
    fn tell(self, report: &mut Report, idle: f64) {
        report.say(&format!(
            "{ROUNDS} rounds of {} s in turn: median (least - most)\n",
            PART.as_secs()
        ));
        let columns = [
            ("p50", "us"),
            ("p99", "us"),
            ("p99 to alone", ""),
            ("p99 to fair", ""),
            ("served", ""),
            ("failed", ""),
        ];
        let mut table = Table::new("a healthy client: connect, handshake, 1 KB", &columns);
        let rows = [
            ("alone", &self.alone),
            ("fair: a crowd at another listener", &self.beside),
            ("a crowd at the edge", &self.during),
        ];
        for (name, waits) in rows {
            let ratio =
                |to: &[Waits]| Cell::of(waits.iter().zip(to).map(|(is, to)| is.p99 / to.p99).collect());
            table.row(
                name,
                [
                    Cell::of(waits.iter().map(|waits| waits.p50).collect()),
                    Cell::of(waits.iter().map(|waits| waits.p99).collect()),
                    ratio(&self.alone),
                    ratio(&self.beside),
                    Cell::Count(waits.iter().map(|waits| waits.count).sum()),
                    Cell::Count(waits.iter().map(|waits| waits.failed).sum()),
                ],
            );
        }
        report.table(&table);

        let sum = |of: fn(&Tally) -> u64| self.tallies.iter().map(of).sum::<u64>();
        let (closed, late, lost) = (
            sum(|tally| tally.closed),
            sum(|tally| tally.late),
            sum(|tally| tally.failed),
        );
        let longest = self.tallies.iter().map(|tally| tally.longest).max();
        let longest = longest.unwrap_or_default().as_secs_f64();
        let peak = self.resident.iter().copied().fold(idle, f64::max);
        let mut table = Table::new("the crowd at the edge", &[("", "")]);
        let each = (peak - idle) / CLIENTS as f64;
        for (name, cell) in [
            ("slow clients at once", Cell::Count(CLIENTS as u64)),
            ("closed", Cell::Count(closed)),
            ("closed too late", Cell::Count(late)),
            ("never connected", Cell::Count(lost)),
            ("held at the most, s", Cell::Number(longest)),
            ("the edge's processor, %", Cell::of(self.busy)),
            ("resident before, KiB", Cell::Number(idle)),
            ("resident at the most, KiB", Cell::Number(peak)),
            ("for each slow client, KiB", Cell::Number(each)),
        ] {
            table.row(name, [cell]);
        }
        report.table(&table);
        let failed: u64 = [&self.alone, &self.beside, &self.during]
            .iter()
            .flat_map(|rounds| rounds.iter())
            .map(|waits| waits.failed)
            .sum();
        assert_eq!(
            [failed, late, lost],
            [0; 3],
            "failed exchanges, late ends, lost connections"
        );
        // Whoever came in the first ten seconds of a round was closed in the ten seconds behind, and again after that.
        let least = (PART.as_secs() / HANDSHAKE_TIMEOUT.as_secs()) * (CLIENTS * ROUNDS) as u64;
        assert!(closed >= least, "only {closed} slow clients were closed");
    }
}

fn edge(authority: &Authority, server: SocketAddr) -> (Daemon, SocketAddr) {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = probe.local_addr().expect("bound");
    drop(probe);
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["{address}"]
routes = [{{ upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[listener.limits]
handshake_timeout = "{}s"
[[upstream]]
name = "app"
servers = ["{server}"]
"#,
        HANDSHAKE_TIMEOUT.as_secs()
    );
    let pair = authority.issue(&[NAME]);
    let daemon = Daemon::new("bench-slow", Half::Edge, &policy).wrapped(&["taskset", "--cpu-list", "1"]);
    daemon.home().write("api.pem", &pair.cert);
    daemon.home().write("api.key", &pair.key);
    (daemon.started(), address)
}

const NAME: &str = "api.example.com";
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;
/// A minute of each kind, in all.
const PART: Duration = Duration::from_secs(20);
const WARM_UP: Duration = Duration::from_secs(2);
const CALM: Duration = Duration::from_secs(2);
