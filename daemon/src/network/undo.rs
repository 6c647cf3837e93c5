//! What a swap has done so far, to be undone when a later step of it fails.
//!
//! attach → **undo** → every interface is judged by what judged it before. Best effort: each step of it was possible a moment
//! ago.

use aya::programs::{SchedClassifier, Xdp};
use ravelin_datapath::Direction;

use super::adopt::Pinned;
use super::load::Generation;
use super::pins::PinDir;
use super::{attach, egress, ingress};

/// Steps of a swap.
pub(super) struct Undo<'a> {
    pins: &'a PinDir,
    /// What to swap back to; `None` when an earlier process loaded it.
    previous: Option<&'a mut Generation>,
    updated: Vec<(String, Former)>,
    pinned: Vec<(Direction, String)>,
}

/// What a link held.
pub(super) enum Former {
    /// The program of the previous generation.
    Previous(Direction),
    /// A program that an earlier process loaded, held so that it is still there.
    Inbound(Xdp),
    /// The same for what goes out.
    Outbound(SchedClassifier),
}

impl Former {
    const fn direction(&self) -> Direction {
        match self {
            Self::Previous(direction) => *direction,
            Self::Inbound(_) => Direction::Inbound,
            Self::Outbound(_) => Direction::Outbound,
        }
    }
}

impl<'a> Undo<'a> {
    /// Nothing was done yet.
    pub(super) const fn new(pins: &'a PinDir, previous: Option<&'a mut Generation>) -> Self {
        Self {
            pins,
            previous,
            updated: Vec::new(),
            pinned: Vec::new(),
        }
    }

    /// What a link holds before it is updated: without it the kernel lets go of a program that nobody else holds. `None`: the kernel
    /// does not give it.
    pub(super) fn former(&self, direction: Direction, pinned: &Pinned) -> Option<Former> {
        let previous = self.previous.as_ref();
        if previous.is_some_and(|previous| previous.judges(direction)) {
            return Some(Former::Previous(direction));
        }
        match direction {
            Direction::Inbound => ingress::program_by_id(pinned.program).map(Former::Inbound),
            Direction::Outbound => egress::program_by_id(pinned.program).map(Former::Outbound),
        }
    }

    /// A link that held `former` was made to hold another program.
    pub(super) fn updated(&mut self, interface: String, former: Former) {
        self.updated.push((interface, former));
    }

    /// A new link was pinned.
    pub(super) fn pinned(&mut self, direction: Direction, interface: String) {
        self.pinned.push((direction, interface));
    }

    /// Undoes everything.
    pub(super) fn run(mut self) {
        for (direction, name) in &self.pinned {
            let _best_effort = std::fs::remove_file(self.pins.link(*direction, name));
        }
        for (interface, former) in std::mem::take(&mut self.updated) {
            let direction = former.direction();
            let path = self.pins.link(direction, &interface);
            let Ok(Some(pinned)) = Pinned::open(direction, &path) else {
                continue;
            };
            if !self.back(former, pinned) {
                tracing::error!(%interface, "cannot swap back: the new program stays on this interface");
            }
        }
    }

    fn back(&mut self, former: Former, pinned: Pinned) -> bool {
        match former {
            Former::Previous(direction) => {
                let previous = self.previous.as_mut();
                previous.is_some_and(|previous| attach::update(previous, direction, pinned).is_ok())
            }
            Former::Inbound(mut program) => ingress::update(&mut program, pinned).is_ok(),
            Former::Outbound(mut program) => egress::update(&mut program, pinned).is_ok(),
        }
    }
}
