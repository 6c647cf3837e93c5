//! The metrics that prove it, fetched with curl from the edge host.

use crate::interrupt::{self, Interrupted};
use crate::ledger::Ledger;
use crate::metrics::{ADDRESS, Page};
use crate::screen;
use crate::world::World;

pub(crate) fn play(world: &World, ledger: &mut Ledger) -> Result<(), Interrupted> {
    interrupt::check()?;
    screen::act("the metrics that prove it");
    screen::command("edge", &format!("curl {ADDRESS}      (a selection)"));
    let page = Page::fetch(world);
    let shown: Vec<&str> = page
        .0
        .lines()
        .filter(|line| SHOWN.iter().any(|name| line.starts_with(name)))
        .collect();
    let shown: Vec<&str> = shown.into_iter().filter(|line| !line.ends_with(" 0")).collect();
    screen::output(&shown.join("\n"));
    ledger.expect(
        "packets that left their tables (our bug, if any)",
        "0",
        &table_faults(&page).to_string(),
    );
    let successful = page.value("ravelin_config_last_reload_successful", &[]);
    ledger.expect("last reload successful", "1", &successful.to_string());
    Ok(())
}

fn table_faults(page: &Page) -> f64 {
    page.value(
        "ravelin_packets_total",
        &[
            ("direction", "inbound"),
            ("verdict", "deny"),
            ("reason", "table_fault"),
        ],
    )
}

const SHOWN: [&str; 8] = [
    "ravelin_packets_total{",
    "ravelin_rule_packets_total{",
    "ravelin_xdp_mode_info{",
    "ravelin_generation ",
    "ravelin_reloads_total{",
    "ravelin_edge_admitted_total{",
    "ravelin_edge_refused_total{",
    "ravelin_edge_tls_handshakes_total{",
];
