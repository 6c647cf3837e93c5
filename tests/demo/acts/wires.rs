//! Before anything is filtered everybody reaches everything: what is dropped later is dropped by the policy, not by a dead wire.

use crate::interrupt::{self, Interrupted};
use crate::ledger::Ledger;
use crate::world::{EDGE_V4, EDGE_V6, World};
use crate::{probe, screen};

pub(crate) fn play(world: &World, ledger: &mut Ledger) -> Result<(), Interrupted> {
    screen::act("the wires, without a firewall");
    for (who, host) in [
        ("office", &world.office),
        ("stranger", &world.stranger),
        ("attacker", &world.attacker),
    ] {
        interrupt::check()?;
        let [v4, v6] = [EDGE_V4, EDGE_V6].map(|edge| probe::patient_ssh(host, edge));
        ledger.expect(
            &format!("{who} to ssh, nothing filtered"),
            "connects, connects",
            &format!("{v4}, {v6}"),
        );
    }
    Ok(())
}
