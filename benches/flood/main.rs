//! What a flood leaves of a host's legitimate traffic: the test of Høiland-Jørgensen and others (CoNEXT 2018, section 4.3), in namespaces.
//!
//! Clients make TCP connections, one question and one answer each, while somebody sends a flood on the same link. Whatever the host does
//! happens on one processor: taking packets from the link, filtering them, the server, and the clients too, which are slowed
//! by nothing else. The flood is sent from the other one. Loads are parts of what comes through the link, with Ravelin behind it, when the flood is sent
//! without pause: of UDP the *drop capacity*, of SYNs what the host answers.

#![expect(clippy::expect_used, reason = "a bench stops when it cannot measure")]

mod host;
mod sender;
mod transactions;

use std::time::{Duration, Instant};

use ravelin_benches::{Cell, Column, Mark, Plot, Report, Spread, Table};
use ravelin_tests::random::Random;
use ravelin_tests::scene::Scene;

use self::host::{Filter, Host};
use self::sender::Flood;

fn main() {
    let mut report = Report::new("flood");
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        report.say("not measured: it takes two processors");
        return;
    }
    let scene = Scene::new("bench-flood");
    scene.host.ip(&["route", "add", "default", "via", "10.77.0.1"]);
    report.say(&format!(
        "{ROUNDS} rounds in turn, {} s each: median (least - most)\n",
        WINDOW.as_secs_f64()
    ));
    measure(
        &mut report,
        &scene,
        Flood::Udp,
        "UDP to a closed port",
        (
            "flood_udp",
            "Transactions under a flood of UDP from forged sources",
        ),
        &[Filter::None, Filter::Nftables, Filter::Ingress, Filter::Ravelin],
    );
    measure(
        &mut report,
        &scene,
        Flood::Syn,
        "SYNs to the open port, from forged sources",
        (
            "flood_syn",
            "Transactions under a flood of SYNs from forged sources",
        ),
        &[
            Filter::None,
            Filter::Nftables,
            Filter::Ravelin,
            Filter::Budget,
            Filter::Cookies,
        ],
    );
    report.finish();
}

fn measure(
    report: &mut Report,
    scene: &Scene,
    flood: Flood,
    what: &str,
    (file, title): (&'static str, &'static str),
    filters: &[Filter],
) {
    let capacity = capacity(scene, flood);
    report.say(&format!(
        "{what}: {capacity:.0} packets a second come through the link when they are sent without pause\n"
    ));
    let mut rounds = vec![vec![vec![]; LOADS.len()]; filters.len()];
    let mut sent = vec![vec![]; LOADS.len()];
    let mut random = Random::new(11);
    for _ in 0..ROUNDS {
        for (filter, rounds) in filters.iter().zip(&mut rounds) {
            let host = Host::new(scene, *filter);
            for ((load, rounds), sent) in LOADS.iter().zip(rounds).zip(&mut sent) {
                let rate = capacity * load / 100.0;
                let (received, started) = (host.received(), Instant::now());
                let transactions = sender::during(scene, flood, rate, random.bits(), LASTS, || {
                    transactions::count(scene, WINDOW)
                });
                rounds.push(transactions);
                sent.push(per_second(host.received() - received, started.elapsed()));
            }
            drop(host);
        }
    }
    show(report, what, filters, rounds.clone(), sent);
    let mut plot = Plot::new(file, title, ["flood, % of the drop capacity", "transactions / s"]);
    for (filter, rounds) in filters.iter().zip(rounds) {
        let medians = rounds
            .into_iter()
            .filter_map(Spread::of)
            .map(|spread| spread.median);
        // The axis is logarithmic: no flood stands at 1 %.
        let loads = LOADS.iter().map(|load| load.max(1.0));
        plot.add(filter.name(), Mark::Line, loads.zip(medians));
    }
    report.plot(&plot);
}

fn show(
    report: &mut Report,
    what: &str,
    filters: &[Filter],
    rounds: Vec<Vec<Vec<f64>>>,
    sent: Vec<Vec<f64>>,
) {
    let mut table = Table::new(&format!("{what}, transactions a second"), &COLUMNS);
    for (filter, rounds) in filters.iter().zip(rounds) {
        table.row(filter.name(), rounds.into_iter().map(Cell::of));
    }
    table.row("packets that came, all kinds", sent.into_iter().map(Cell::of));
    report.table(&table);
}

/// Packets of the flood a second that come to the filter when they are sent without pause.
fn capacity(scene: &Scene, flood: Flood) -> f64 {
    let host = Host::new(scene, Filter::Ravelin);
    sender::during(scene, flood, f64::INFINITY, 1, WINDOW * 2, || {
        let (before, started) = (host.received(), Instant::now());
        std::thread::sleep(WINDOW);
        per_second(host.received() - before, started.elapsed())
    })
}

fn per_second(count: u64, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "millions")]
    let count = count as f64;
    count / time.as_secs_f64()
}

/// With the time that clients take to get under way.
const LASTS: Duration = Duration::from_millis(650);
const ROUNDS: usize = 5;
const WINDOW: Duration = Duration::from_millis(500);
const LOADS: [f64; 5] = [0.0, 25.0, 50.0, 75.0, 90.0];
const COLUMNS: [Column; 5] = [
    ("no flood", "/s"),
    ("25 %", "/s"),
    ("50 %", "/s"),
    ("75 %", "/s"),
    ("90 %", "/s"),
];
