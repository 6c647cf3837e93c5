//! What a swap has done so far, to be undone when a later step of it fails.
//!
//! attach → **undo** → every interface is judged by what judged it before. Best effort: each step of it was possible a moment
//! ago.

use aya::programs::{SchedClassifier, Xdp};
use ravelin_datapath::Direction;

use super::attach::{Held, Hook};
use super::interface::Interface;
use super::load::Generation;
use super::pins::PinDir;
use super::{attach, clsact, egress, ingress};

/// Steps of a swap.
pub(super) struct Undo<'a> {
    pins: &'a PinDir,
    /// What to swap back to; `None` when an earlier process loaded it.
    previous: Option<&'a mut Generation>,
    updated: Vec<(Hook, Interface, Former)>,
    made: Vec<(Hook, Interface)>,
}

/// What a link or filter held.
pub(super) enum Former {
    /// The program of the previous generation.
    Previous,
    /// A program that an earlier process loaded, held so that it is still there.
    Inbound(Xdp),
    /// The same for what goes out.
    Outbound(SchedClassifier),
}

impl<'a> Undo<'a> {
    /// Nothing was done yet.
    pub(super) const fn new(pins: &'a PinDir, previous: Option<&'a mut Generation>) -> Self {
        Self {
            pins,
            previous,
            updated: Vec::new(),
            made: Vec::new(),
        }
    }

    /// What is held before the update: without it the kernel lets go of a program that nobody else holds. `None`: the kernel
    /// does not give it.
    pub(super) fn former(&self, hook: Hook, held: &Held) -> Option<Former> {
        let previous = self.previous.as_ref();
        if previous.is_some_and(|previous| previous.judges(hook.direction())) {
            return Some(Former::Previous);
        }
        match hook.direction() {
            Direction::Inbound => ingress::program_by_id(held.program()).map(Former::Inbound),
            Direction::Outbound => egress::program_by_id(held.program()).map(Former::Outbound),
        }
    }

    /// What held `former` was made to hold another program.
    pub(super) fn updated(&mut self, hook: Hook, interface: Interface, former: Former) {
        self.updated.push((hook, interface, former));
    }

    /// A new link was pinned, or a new filter made.
    pub(super) fn made(&mut self, hook: Hook, interface: Interface) {
        self.made.push((hook, interface));
    }

    /// Undoes everything.
    pub(super) fn run(mut self) {
        for (hook, interface) in &self.made {
            if *hook == Hook::Clsact {
                let _best_effort = clsact::remove(self.pins, interface.index);
            } else {
                let _best_effort = std::fs::remove_file(self.pins.link(hook.direction(), &interface.name));
            }
        }
        for (hook, interface, former) in std::mem::take(&mut self.updated) {
            let Ok(Some(held)) = attach::held(self.pins, hook, &interface) else {
                continue;
            };
            if !self.back(former, held) {
                let interface = interface.name;
                tracing::error!(%interface, "cannot swap back: the new program stays on this interface");
            }
        }
    }

    fn back(&mut self, former: Former, held: Held) -> bool {
        match (former, held) {
            (Former::Previous, held) => {
                let previous = self.previous.as_mut();
                previous.is_some_and(|previous| attach::update(previous, held).is_ok())
            }
            (Former::Inbound(mut program), Held::Link(_, pinned)) => {
                ingress::update(&mut program, pinned).is_ok()
            }
            (Former::Inbound(_), Held::Filter { .. }) => false,
            (Former::Outbound(mut program), held) => egress::update(&mut program, held).is_ok(),
        }
    }
}
