//! `ravelin run`: both halves, from nothing to packets judged.

use std::time::Instant;

use crate::interrupt::{self, Interrupted};
use crate::ledger::Ledger;
use crate::screen;
use crate::world::{World, text};

pub(crate) fn play(world: &mut World, ledger: &mut Ledger) -> Result<(), Interrupted> {
    interrupt::check()?;
    screen::act("start");
    screen::command("edge", "ravelin run --config ravelin.toml");
    let started = Instant::now();
    world.daemon.start();
    screen::note(&format!(
        "filter and edge answer after {} ms",
        started.elapsed().as_millis()
    ));
    screen::command("edge", "ravelin status");
    let status = text(&world.daemon.ravelin(&["status"]));
    screen::output(&status);
    let mode = ["native", "generic"]
        .into_iter()
        .find(|mode| status.contains(mode))
        .unwrap_or("unknown");
    ledger.expect("XDP mode on wan0", "native", mode);
    Ok(())
}
