//! The accept loop: takes connections, asks the gate, hands on what it lets through.
//!
//! listen → **accept** → connection. A refused connection costs no task and no memory beyond its descriptor. No error of
//! accept ends the loop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use super::connection::{self, Who};
use super::limit::{Admission, Refused, Would};
use super::listener::Listener;
use super::live::Live;
use crate::metrics::labels::{AcceptFailure, Closure, Delay, LabelValue as _};
use crate::wall_clock::unix_now;

/// Accepts until `stop` is true (or its sender gone), then takes what the kernel has already accepted, and ends: closing a socket
/// with connections in its backlog would reset them.
pub(super) async fn accept(
    socket: Arc<TcpListener>,
    listener: Arc<ArcSwap<Listener>>,
    live: Live,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, &listener.load_full(), &live),
            Err(error) => failed(&error, &listener.load_full()).await,
        }
    }
    while let Some((stream, peer)) = waiting(&socket).await {
        admit(stream, peer, &listener.load_full(), &live);
    }
}

fn admit(stream: TcpStream, peer: SocketAddr, listener: &Arc<Listener>, live: &Live) {
    let now = Instant::now();
    match listener.gate.enter(peer.ip(), now, unix_now()) {
        Ok(entrant) => {
            let listener = Arc::clone(listener);
            live.spawn(|orders| connection::serve(listener, stream, peer, entrant, now, orders));
        }
        Err(refused) => {
            let closure = refuse(listener, &stream, Who::direct(peer), refused);
            listener.metrics.ended(closure);
        }
    }
}

/// Counts what would not be let through, or not yet, if limits were in force.
pub(super) fn note(listener: &Listener, admission: &Admission, who: Who) {
    match admission {
        Admission::Observed(_, Would::Refuse(refused)) => {
            listener.metrics.would_refuse(refused.check);
            if let Some(offence) = refused.offence {
                listener.offended(who.peer.ip(), offence, Instant::now());
            }
        }
        Admission::Observed(_, Would::Wait) => listener.metrics.would_delay(Delay::Rate).inc(),
        Admission::Now(_) | Admission::Wait(_) => {}
    }
}

/// Turns a connection away, and says how it ends.
pub(super) fn refuse(listener: &Listener, stream: &TcpStream, who: Who, refused: Refused) -> Closure {
    let now = Instant::now();
    listener.metrics.refused(refused.check);
    reset(stream);
    if let Some(offence) = refused.offence {
        listener.offended(who.peer.ip(), offence, now);
    }
    if let Some(suppressed) = listener.quiet.may_write(now) {
        let (client, reason) = (who.client(), refused.check.word());
        tracing::info!(listener = listener.name, %client, reason, suppressed, "connection refused");
    }
    Closure::Refused
}

/// Makes closing abort the connection: the client learns at once that it was turned away, and the kernel keeps nothing of
/// it, while an ordinary close would leave a `FIN_WAIT` entry behind for every connection of a flood.
pub(super) fn reset(stream: &TcpStream) {
    // If the option cannot be set the connection is closed in the ordinary way.
    drop(stream.set_zero_linger());
}

async fn failed(error: &io::Error, listener: &Listener) {
    let failure = match error.raw_os_error() {
        Some(ECONNABORTED) => AcceptFailure::Aborted,
        Some(EMFILE | ENFILE | ENOBUFS | ENOMEM) => AcceptFailure::Exhausted,
        _ => AcceptFailure::Other,
    };
    listener.metrics.accept_failed(failure);
    if let Some(suppressed) = listener.quiet.may_write(Instant::now()) {
        tracing::warn!(listener = listener.name, %error, suppressed, "accept failed");
    }
    if failure != AcceptFailure::Aborted {
        // The connection stays in the backlog: trying again at once would spin until a descriptor is free.
        sleep(PAUSE).await;
    }
}

/// A connection that is there already; `None`, without waiting, when there is none.
async fn waiting(socket: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|cx| match socket.poll_accept(cx) {
        Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Long enough for connections to end, short enough that nobody takes the listener for dead.
const PAUSE: Duration = Duration::from_millis(50);

// Linux errno values; the standard library has no stable `ErrorKind` for most of them.
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ECONNABORTED: i32 = 103;
const ENOBUFS: i32 = 105;
