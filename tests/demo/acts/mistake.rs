//! A mistake in the file: the reload is refused with the place and the fix, and the last good policy stays.

use crate::interrupt::{self, Interrupted};
use crate::ledger::Ledger;
use crate::metrics::Page;
use crate::world::{EDGE_V4, STRANGER_V4, STRANGER_V6, World, policy, text};
use crate::{probe, screen};

pub(crate) fn play(world: &World, ledger: &mut Ledger) -> Result<(), Interrupted> {
    interrupt::check()?;
    screen::act("a mistake");
    let good = policy(&["@office", STRANGER_V4, STRANGER_V6]);
    world
        .daemon
        .write_policy(&good.replace("ports    = 5140", "ports    = \"8000-80\""));
    screen::command("edge", "ravelin reload");
    let output = world.daemon.ravelin(&["reload"]);
    screen::output(&text(&output));
    ledger.expect(
        "exit code of a reload that is refused",
        "1",
        &output.status.code().unwrap_or(-1).to_string(),
    );
    let successful = Page::fetch(world).value("ravelin_config_last_reload_successful", &[]);
    ledger.expect(
        "ravelin_config_last_reload_successful",
        "0",
        &successful.to_string(),
    );
    ledger.expect(
        "attacker to ssh, by the last good policy",
        "dropped",
        probe::ssh(&world.attacker, EDGE_V4),
    );
    ledger.expect(
        "office to ssh, by the last good policy",
        "connects",
        probe::ssh(&world.office, EDGE_V4),
    );
    world.daemon.write_policy(&good);
    let repaired = world.daemon.ravelin(&["reload"]);
    ledger.expect(
        "exit code of the reload after the repair",
        "0",
        &repaired.status.code().unwrap_or(-1).to_string(),
    );
    Ok(())
}
