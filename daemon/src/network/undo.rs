//! What a swap has done so far, to be undone when a later step of it fails.
//!
//! attach → **undo** → every interface is judged by what judged it before. Best effort: each step of it was possible a moment
//! ago.

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
    updated: Vec<Updated>,
    pinned: Vec<(Direction, String)>,
}

struct Updated {
    direction: Direction,
    interface: String,
    /// The id of the program that the link had.
    former: u32,
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

    /// A link was made to hold another program than `former`.
    pub(super) fn updated(&mut self, direction: Direction, interface: String, former: u32) {
        self.updated.push(Updated {
            direction,
            interface,
            former,
        });
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
        for updated in std::mem::take(&mut self.updated) {
            let path = self.pins.link(updated.direction, &updated.interface);
            let Ok(Some(pinned)) = Pinned::open(updated.direction, &path) else {
                continue;
            };
            if !self.back(updated.direction, pinned, updated.former) {
                tracing::error!(interface = %updated.interface, "cannot swap back: the new program stays on this interface");
            }
        }
    }

    fn back(&mut self, direction: Direction, pinned: Pinned, former: u32) -> bool {
        match &mut self.previous {
            Some(previous) if previous.judges(direction) => {
                attach::update(previous, direction, pinned).is_ok()
            }
            _ => match direction {
                Direction::Inbound => ingress::program_by_id(former)
                    .is_some_and(|mut program| ingress::update(&mut program, pinned).is_ok()),
                Direction::Outbound => egress::program_by_id(former)
                    .is_some_and(|mut program| egress::update(&mut program, pinned).is_ok()),
            },
        }
    }
}
