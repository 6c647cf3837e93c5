//! A program on an interface that hands every packet on: what is compared with a filter in the driver comes the same way through the driver.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a bench stops when it cannot measure"
)]

use aya::Ebpf;
use aya::programs::xdp::{Xdp, XdpMode};

use crate::replay::OBJECT;

/// On its interface until it is dropped.
pub struct Pass(#[expect(dead_code, reason = "holds the link")] Ebpf);

impl Pass {
    /// On the interface of that name, in the namespace of the thread that asks.
    #[must_use]
    pub fn attach(interface: &str) -> Self {
        let mut ebpf = Ebpf::load(OBJECT).expect("the object loads");
        let program: &mut Xdp = ebpf
            .program_mut("pass")
            .and_then(|program| program.try_into().ok())
            .expect("the program is in the object");
        program.load().expect("the verifier accepts it");
        program
            .attach(interface, XdpMode::Driver)
            .expect("the driver takes it");
        Self(ebpf)
    }
}
