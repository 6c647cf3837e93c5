//! How long one client waits for a kilobyte, with nobody else there.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::{Clients, ask};

/// Half and 99 of 100 waits in microseconds, through a proxy.
pub(crate) fn through(clients: &Clients, address: SocketAddr) -> [f64; 2] {
    let (mut stream, runtime) = clients.one(address);
    runtime.block_on(waits(&mut stream))
}

/// The same from the server itself, without TLS.
pub(crate) fn direct(clients: &Clients, address: SocketAddr) -> [f64; 2] {
    let (mut stream, runtime) = clients.plain(address);
    runtime.block_on(waits(&mut stream))
}

async fn waits<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> [f64; 2] {
    let mut waits = Vec::with_capacity(EXCHANGES);
    for _ in 0..EXCHANGES {
        let asked = Instant::now();
        ask(stream, [0, 1_024]).await;
        waits.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    waits.sort_by(f64::total_cmp);
    [waits[EXCHANGES / 2], waits[EXCHANGES * 99 / 100]]
}

const EXCHANGES: usize = 2_000;
