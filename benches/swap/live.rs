//! The steps of `Network::apply`, timed one by one: image → **`Live`** → the program on the interface.

use std::time::{Duration, Instant};

use ravelin_daemon::network::attach::{Modes, swap};
use ravelin_daemon::network::bans::never::Never;
use ravelin_daemon::network::load::{Generation, Images};
use ravelin_daemon::network::pins::PinDir;
use ravelin_rules::policy::{OutboundHook, XdpMode};
use ravelin_rules::{Change, Policy, TableImage};
use ravelin_tests::home::Home;

/// What is on the interface [`INTERFACE`].
pub(crate) struct Live {
    pub(crate) pins: PinDir,
    generation: Option<Generation>,
    number: u32,
}

/// How long each step took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    /// The tables made and written, the program verified.
    pub(crate) load: Duration,
    /// The one step between two packets.
    pub(crate) attach: Duration,
    /// The generation before it, let go.
    pub(crate) free: Duration,
}

impl Live {
    /// With the pins below `home`, where a bpf file system is mounted.
    pub(crate) fn new(home: &Home) -> Self {
        Self {
            pins: PinDir::open(&home.pins().join("ravelin")).expect("a pin folder"),
            generation: None,
            number: 0,
        }
    }

    /// Makes these tables the ones that packets are judged by.
    pub(crate) fn apply(&mut self, image: &TableImage) -> Steps {
        self.number += 1;
        let started = Instant::now();
        let images = Images {
            inbound: image,
            outbound: None,
        };
        let mut generation = Generation::load(&self.pins, images, &Never::default(), self.number)
            .expect("the kernel takes it");
        let load = started.elapsed();
        let started = Instant::now();
        let on = [INTERFACE.to_owned()];
        swap(
            &self.pins,
            &mut generation,
            self.generation.as_mut(),
            &on,
            Modes {
                inbound: XdpMode::Native,
                outbound: OutboundHook::Auto,
            },
        )
        .expect("the interface takes it");
        let attach = started.elapsed();
        let started = Instant::now();
        self.generation = Some(generation);
        Steps {
            load,
            attach,
            free: started.elapsed(),
        }
    }

    /// Changes the tables in place, as the daemon does; says whether that was possible.
    pub(crate) fn amend(&mut self, policy: &Policy, change: &Change) -> bool {
        let generation = self.generation.as_mut().expect("a generation is live");
        generation.amend(policy, change).expect("the change fits")
    }

    /// The bytes of the tables in the kernel.
    pub(crate) fn table_bytes(&self) -> u64 {
        self.generation.as_ref().map_or(0, Generation::table_bytes)
    }

    /// Takes everything off the interface.
    pub(crate) fn remove(self) {
        self.pins.remove().expect("the pins go");
    }
}

/// The interface of the scene's host.
pub(crate) const INTERFACE: &str = "wan";
