//! A stream of numbered packets from one host, and who of them arrived.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ravelin_tests::netns::Namespace;
use ravelin_tests::wait;

use crate::world::{EDGE_V4, TELEMETRY_PORT, World};

/// Two streams to the telemetry port, and what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) allowed_sent: u64,
    pub(crate) allowed_arrived: u64,
    pub(crate) denied_sent: u64,
    pub(crate) denied_arrived: u64,
}

/// Sends from the office (allowed) and from the stranger (denied) while `meanwhile` runs.
pub(crate) fn during<T>(world: &World, meanwhile: impl FnOnce(&dyn Fn() -> u64) -> T) -> (Counts, T) {
    let done = AtomicBool::new(false);
    let (allowed, denied) = (AtomicU64::new(0), AtomicU64::new(0));
    let arrived = Arrived::default();
    let [office, stranger] = [&world.office, &world.stranger].map(sender);
    thread::scope(|scope| {
        let _stop = Stop {
            senders: &done,
            receiver: &arrived.end,
        };
        scope.spawn(|| arrived.count(&world.telemetry));
        // Addresses of neighbours are found out before anything is counted.
        office.send(WARM_UP).expect("send");
        wait::until("the first packet to arrive", Duration::from_secs(5), || {
            (arrived.warm.load(Ordering::Relaxed) > 0).then_some(())
        });
        let senders = [
            scope.spawn(|| send(&office, ALLOWED, ALLOWED_AT_ONCE, &allowed, &done)),
            scope.spawn(|| send(&stranger, DENIED, 1, &denied, &done)),
        ];
        let result = meanwhile(&|| allowed.load(Ordering::Relaxed));
        done.store(true, Ordering::Relaxed);
        for sender in senders {
            let _panicked = sender.join();
        }
        let sent = allowed.load(Ordering::Relaxed);
        arrived.settle(sent);
        let counts = Counts {
            allowed_sent: sent,
            allowed_arrived: arrived.allowed.load(Ordering::Relaxed),
            denied_sent: denied.load(Ordering::Relaxed),
            denied_arrived: arrived.denied.load(Ordering::Relaxed),
        };
        (counts, result)
    })
}

#[derive(Default)]
struct Arrived {
    warm: AtomicU64,
    allowed: AtomicU64,
    denied: AtomicU64,
    end: AtomicBool,
}

impl Arrived {
    fn count(&self, socket: &UdpSocket) {
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        let mut packet = [0; 64];
        loop {
            match socket.recv(&mut packet) {
                Ok(length) => {
                    let counter = match packet.get(..length) {
                        Some(bytes) if bytes == ALLOWED => &self.allowed,
                        Some(bytes) if bytes == DENIED => &self.denied,
                        _ => &self.warm,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) if self.end.load(Ordering::Relaxed) => return,
                // Nothing for a moment.
                Err(_) => {}
            }
        }
    }

    /// Waits until everything that was sent is here, or for a second.
    fn settle(&self, sent: u64) {
        for _ in 0..100 {
            if self.allowed.load(Ordering::Relaxed) >= sent {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Ends the threads of the scope, also when something in it panics: the scope waits for them.
struct Stop<'a> {
    senders: &'a AtomicBool,
    receiver: &'a AtomicBool,
}

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.senders.store(true, Ordering::Relaxed);
        self.receiver.store(true, Ordering::Relaxed);
    }
}

fn sender(host: &Namespace) -> UdpSocket {
    host.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
        socket.connect((EDGE_V4, TELEMETRY_PORT)).expect("connect");
        socket
    })
}

/// `at_once` packets each millisecond, until done.
fn send(socket: &UdpSocket, packet: &[u8], at_once: u32, sent: &AtomicU64, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        for _ in 0..at_once {
            if socket.send(packet).is_ok() {
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

const WARM_UP: &[u8] = b"warm-up";
const ALLOWED: &[u8] = b"telemetry";
const DENIED: &[u8] = b"not yours";
const ALLOWED_AT_ONCE: u32 = 4;
