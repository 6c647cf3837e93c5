//! Packets allowed and denied, IPv4 and IPv6, with the counters that saw them.

use crate::interrupt::{self, Interrupted};
use crate::ledger::Ledger;
use crate::metrics::Page;
use crate::world::{EDGE_V4, EDGE_V6, World};
use crate::{probe, screen};

pub(crate) fn play(world: &World, ledger: &mut Ledger) -> Result<(), Interrupted> {
    screen::act("packets");
    screen::note("port 22 is open to the office; everybody else's packets end in the driver");
    let before = Page::fetch(world);
    for (who, host, expected) in [
        ("office", &world.office, "connects"),
        ("stranger", &world.stranger, "dropped"),
    ] {
        for (family, edge) in [("IPv4", EDGE_V4), ("IPv6", EDGE_V6)] {
            interrupt::check()?;
            ledger.expect(
                &format!("{who} to ssh over {family}"),
                expected,
                probe::ssh(host, edge),
            );
        }
    }
    let after = Page::fetch(world);
    let denied = after.denied() - before.denied();
    ledger.expect("packets denied by default", "2", &denied.to_string());
    let allowed = after.rule("ssh") - before.rule("ssh");
    ledger.enter(
        "packets allowed by rule `ssh`",
        "2 or more",
        &allowed.to_string(),
        allowed >= 2.0,
    );
    Ok(())
}
