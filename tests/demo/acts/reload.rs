//! A rule is edited and reloaded, again and again, while packets stream through: none is lost, none slips in.

use crate::interrupt::{self, Interrupted};
use crate::ledger::Ledger;
use crate::world::{EDGE_V4, EDGE_V6, STRANGER_V4, STRANGER_V6, World, policy};
use crate::{probe, screen, stream};

pub(crate) fn play(world: &World, ledger: &mut Ledger) -> Result<(), Interrupted> {
    interrupt::check()?;
    screen::act("a rule edited and reloaded under traffic");
    screen::note(
        "rule `ssh` gets and loses the stranger as a source, and stays with it in the end; meanwhile the office streams",
    );
    screen::note(
        "telemetry, which is allowed before and after, and the stranger streams too, which is denied before and after",
    );
    screen::command("edge", "$EDITOR ravelin.toml; ravelin reload      (and again)");
    let (counts, reloads) = stream::during(world, |sent| {
        let mut accepted = 0;
        for round in 0..RELOADS {
            if interrupt::check().is_err() {
                break;
            }
            let open = policy(&["@office", STRANGER_V4, STRANGER_V6]);
            let closed = policy(&["@office"]);
            world
                .daemon
                .write_policy(if round % 2 == 1 { &open } else { &closed });
            accepted += u32::from(world.daemon.ravelin(&["reload"]).status.success());
            screen::progress(&format!(
                "{accepted} of {RELOADS} reloads, {} packets sent",
                sent()
            ));
        }
        accepted
    });
    interrupt::check()?;
    screen::progress_done();
    ledger.expect("reloads accepted", &RELOADS.to_string(), &reloads.to_string());
    let lost = counts.allowed_sent.saturating_sub(counts.allowed_arrived);
    ledger.expect(
        &format!("allowed packets lost, of {}", counts.allowed_sent),
        "0",
        &lost.to_string(),
    );
    ledger.expect(
        &format!("denied packets let in, of {}", counts.denied_sent),
        "0",
        &counts.denied_arrived.to_string(),
    );
    screen::note("and the edit itself works: the stranger is let in now");
    for (family, edge) in [("IPv4", EDGE_V4), ("IPv6", EDGE_V6)] {
        let happened = probe::ssh(&world.stranger, edge);
        ledger.expect(
            &format!("stranger to ssh over {family}, after the edit"),
            "connects",
            happened,
        );
    }
    Ok(())
}

/// Even: the last round leaves the stranger among the sources.
const RELOADS: u32 = 20;
