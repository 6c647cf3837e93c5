//! The wait of a connection over the rate.
//!
//! gate → **wait** → TLS. The turn is already reserved; all that is left is to let time pass, and to notice a client that hangs
//! up: a queue of clients that are gone would keep others out.

use std::time::Instant;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::sleep_until;

use super::gate::Permit;

/// The client hung up before its turn.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct Abandoned;

/// Waits until `turn`, or until the client is gone.
pub(in crate::transport) async fn wait(
    stream: &TcpStream,
    turn: Instant,
    mut permit: Permit,
) -> Result<Permit, Abandoned> {
    tokio::select! {
        () = sleep_until(turn.into()) => {
            permit.take_turn();
            Ok(permit)
        }
        () = hung_up(stream) => Err(Abandoned),
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
