//! The policy, what `check` says of it, and what `explain` says of a packet.

use crate::interrupt::{self, Interrupted};
use crate::screen;
use crate::world::{EDGE_V4, STRANGER_V4, World};

pub(crate) fn play(world: &World) -> Result<(), Interrupted> {
    interrupt::check()?;
    screen::act("one policy");
    screen::command("edge", "cat ravelin.toml");
    screen::output(&std::fs::read_to_string(world.file("ravelin.toml")).expect("the policy"));
    world.ravelin("check ravelin.toml");
    screen::note("what would happen to a stranger who tries ssh?");
    world.ravelin(&format!(
        "explain ravelin.toml --source {STRANGER_V4} --destination {EDGE_V4} --protocol tcp --port 22"
    ));
    Ok(())
}
