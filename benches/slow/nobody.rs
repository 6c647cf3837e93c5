//! A listener that takes connections, reads nothing, and closes them when the edge would.
//!
//! Against it the crowd does the same work as against the edge: what is left between the two is what the edge does for it.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use ravelin_benches::processor;

use crate::HANDSHAKE_TIMEOUT;

/// Listens on a free port of loopback, on a thread of its own, until the bench ends.
pub(crate) fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    listener.set_nonblocking(true).expect("an option");
    thread::spawn(move || {
        processor::pin_self(0);
        let mut held = VecDeque::new();
        loop {
            match listener.accept() {
                Ok((stream, _)) => held.push_back((Instant::now(), stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(A_WHILE),
                Err(error) => panic!("accept: {error}"),
            }
            while held
                .front()
                .is_some_and(|(since, _)| since.elapsed() >= HANDSHAKE_TIMEOUT)
            {
                held.pop_front();
            }
        }
    });
    address
}

const A_WHILE: Duration = Duration::from_millis(2);
