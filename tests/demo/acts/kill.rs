//! `kill -9`: the kernel goes on judging, and a new daemon finds the counters where they were.

use crate::interrupt::{self, Interrupted};
use crate::ledger::Ledger;
use crate::metrics::Page;
use crate::world::{EDGE_V4, EDGE_V6, World};
use crate::{probe, screen};

pub(crate) fn play(world: &mut World, ledger: &mut Ledger) -> Result<(), Interrupted> {
    interrupt::check()?;
    screen::act("the daemon is killed");
    let before = Page::fetch(world).rule("telemetry");
    screen::command("edge", "kill -9 $(pidof ravelin)");
    world.daemon.kill();
    ledger.expect(
        "attacker to ssh, without a daemon",
        "dropped",
        probe::ssh(&world.attacker, EDGE_V4),
    );
    ledger.expect(
        "office to ssh, without a daemon",
        "connects",
        probe::ssh(&world.office, EDGE_V6),
    );
    interrupt::check()?;
    screen::command("edge", "ravelin run --config ravelin.toml");
    world.daemon.start();
    let after = Page::fetch(world).rule("telemetry");
    ledger.expect(
        "packets counted for rule `telemetry`, after the restart",
        &before.to_string(),
        &after.to_string(),
    );
    Ok(())
}
