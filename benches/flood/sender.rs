//! Whoever floods: small packets from forged sources, at a steady rate, from the first processor. The kernel sends them by itself
//! (`BPF_PROG_TEST_RUN` with live frames): a system call for each would be the limit.

use std::net::Ipv4Addr;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use ravelin_benches::Replay;
use ravelin_tests::packet::ether;
use ravelin_tests::random::Random;
use ravelin_tests::scene::Scene;

use crate::host::{self, HOST, PORT, pin_to};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// UDP to a port where nobody listens.
    Udp,
    /// TCP SYNs to the port of the server.
    Syn,
}

/// Does `work`, which takes as long as `lasts`, while packets are sent at `rate` a second.
pub(crate) fn during<T>(
    scene: &Scene,
    flood: Flood,
    rate: f64,
    seed: u64,
    lasts: Duration,
    work: impl FnOnce() -> T,
) -> T {
    let to = hardware(scene);
    let ready = Barrier::new(2);
    thread::scope(|scope| {
        let sender = scene
            .client
            .enter_and(scope, || send(flood, rate, seed, to, lasts, &ready));
        ready.wait();
        // Until the kernel has begun.
        thread::sleep(BEGINS);
        let done = work();
        sender.join().expect("the sender");
        done
    })
}

/// The host's hardware address.
fn hardware(scene: &Scene) -> [u8; 6] {
    let text = host::read(scene, "address");
    let mut bytes = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).expect("an address"));
    std::array::from_fn(|_| bytes.next().expect("six bytes"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates of some millions and times of seconds"
)]
fn send(flood: Flood, rate: f64, seed: u64, to: [u8; 6], lasts: Duration, ready: &Barrier) {
    pin_to(0);
    let interface = nix::net::if_::if_nametoindex("up").expect("the client's interface");
    let mut replay = Replay::new(&packets(flood, seed, to), interface);
    ready.wait();
    let lasts = (lasts + BEGINS * 2).as_secs_f64();
    match rate {
        0.0 => {}
        f64::INFINITY => replay.transmit((FASTEST * lasts) as u32, 0),
        rate => replay.transmit((rate * lasts) as u32, (1e9 / rate) as u64),
    }
}

/// So many that no table of sources holds them, and made before the clock runs.
fn packets(flood: Flood, seed: u64, to: [u8; 6]) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    (0..PACKETS)
        .map(|_| {
            let host = u32::try_from(random.below(1 << 17)).expect("17 bits");
            let source = Ipv4Addr::from_bits(0xc612_0000 | host);
            let port = 1024 + random.below(60_000);
            let ip = ether().ipv4().source(source).destination(HOST);
            let packet = match flood {
                Flood::Udp => ip.udp(9).with("source-port", port),
                // With the option for the largest segment, as every host sends it.
                Flood::Syn => ip
                    .tcp(PORT)
                    .with("source-port", port)
                    .with("flags", 2)
                    .with("options", 4),
            };
            let mut bytes = packet.bytes();
            for (byte, of) in bytes.iter_mut().zip(to) {
                *byte = of;
            }
            bytes
        })
        .collect()
}

const PACKETS: usize = 50_000;
/// More than one processor sends in a second, and no more than it sends in a few: a flood without pause ends by itself.
const FASTEST: f64 = 2e6;
/// What the kernel needs to set up.
const BEGINS: Duration = Duration::from_millis(80);
