//! The wait of a connection over the rate.
//!
//! gate → **wait** → TLS. Only the first in line has a timer. A client that hangs up is noticed at once: a line of clients that are
//! gone would keep others out.

use std::time::Instant;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::sleep_until;

use super::gate::{NoEntry, Permit, Waiting};
use super::refused::Refused;

/// How a wait ends without a turn.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) enum WaitEnd {
    /// The client hung up before its turn.
    Abandoned,
    /// Its turn came, and another rate refused it.
    Refused(Refused),
}

/// Waits until the turn has come, or until the client is gone.
pub(in crate::transport) async fn wait(stream: &TcpStream, waiting: Waiting) -> Result<Permit, WaitEnd> {
    tokio::select! {
        permit = in_line(waiting) => permit.map_err(WaitEnd::Refused),
        () = hung_up(stream) => Err(WaitEnd::Abandoned),
    }
}

async fn in_line(mut waiting: Waiting) -> Result<Permit, Refused> {
    loop {
        match waiting.turn() {
            Some(turn) => sleep_until(turn.into()).await,
            None => waiting.called().await,
        }
        match waiting.take_turn(Instant::now()) {
            Ok(permit) => return Ok(permit),
            Err(NoEntry::Refused(refused)) => return Err(refused),
            Err(NoEntry::NotYet(back)) => waiting = back,
        }
    }
}

/// Ready when the client has closed its side. `PRIORITY` is asked for because, unlike `READABLE`, it is not already true for
/// the first bytes that wait in the socket, and it too reports a closed read side.
async fn hung_up(stream: &TcpStream) {
    loop {
        match stream.ready(Interest::PRIORITY | Interest::ERROR).await {
            Ok(ready) if ready.is_read_closed() || ready.is_error() => return,
            Ok(_) => {
                // Urgent data nobody asked for: forget it and wait on.
                drop(stream.try_io(Interest::PRIORITY, || -> std::io::Result<()> {
                    Err(std::io::ErrorKind::WouldBlock.into())
                }));
            }
            Err(_) => return,
        }
    }
}
