//! The life of one admitted connection: wait, handshake, route, connect, relay, end.
//!
//! accept → **connection** → its end, which has exactly one name and is counted once. The permit is held until then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ravelin_rules::policy::ProxyHeader as ProxyProtocol;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::accept::refuse;
use super::limit::{Admission, Permit, WaitEnd, Waiting, wait};
use super::listener::Listener;
use super::live::Cut;
use super::pace::Pace;
use super::proxy_header::ProxyHeader;
use super::relay::relay;
use super::tls::{HandshakeEnd, Session, handshake};
use super::upstream::{Connected, Unreachable, Upstream};
use crate::metrics::labels::{Closure, HandshakeFailure, LabelValue as _, Offence};

/// Serves a connection that the gate let in at `accepted`, until its end or until it is cut.
pub(super) async fn serve(
    listener: Arc<Listener>,
    stream: TcpStream,
    client: SocketAddr,
    admission: Admission,
    accepted: Instant,
    mut cut: Cut,
) {
    let closure = tokio::select! {
        closure = live(&listener, stream, client, admission, accepted) => closure,
        () = cut.received() => Closure::Shutdown,
    };
    listener.metrics.ended(closure);
    tracing::debug!(listener = listener.name, %client, result = closure.word(), "connection ended");
}

async fn live(
    listener: &Listener,
    stream: TcpStream,
    client: SocketAddr,
    admission: Admission,
    accepted: Instant,
) -> Closure {
    let (_permit, admitted) = match admission {
        Admission::Now(permit) | Admission::Observed(permit, _) => (permit, accepted),
        Admission::Wait(waiting) => match turn_of(listener, &stream, waiting).await {
            Ok(permit) => {
                let admitted = Instant::now();
                listener
                    .metrics
                    .delay_seconds
                    .observe(admitted.saturating_duration_since(accepted).as_secs_f64());
                (permit, admitted)
            }
            Err(WaitEnd::Abandoned) => return Closure::Abandoned,
            Err(WaitEnd::Refused(refused)) => {
                refuse(listener, &stream, client, refused, Instant::now());
                return Closure::Refused;
            }
        },
    };
    let session = match secure(listener, stream, client, admitted).await {
        Ok(session) => session,
        Err(closure) => return closure,
    };
    let mut connected = match session.route.connect().await {
        Ok(connected) => connected,
        Err(Unreachable(error)) => {
            let upstream = &session.route.name;
            if let Some(suppressed) = listener.quiet.may_write(Instant::now()) {
                tracing::warn!(listener = listener.name, upstream, %error, suppressed, "no server reached");
            }
            return Closure::UpstreamUnreachable;
        }
    };
    tracing::debug!(listener = listener.name, %client, server = %connected.server, "relaying");
    if announce(&session, &mut connected, client).await.is_err() {
        return Closure::UpstreamReset;
    }
    let Session { stream: mut tls, .. } = session;
    let bandwidth = listener.bandwidth.as_deref();
    let paces = Pace::both(bandwidth, client.ip(), listener.observe, &listener.metrics);
    relay(
        &mut tls,
        &mut connected.stream,
        listener.idle_timeout,
        &listener.metrics,
        paces,
    )
    .await
}

async fn turn_of(listener: &Listener, stream: &TcpStream, waiting: Waiting) -> Result<Permit, WaitEnd> {
    let permit = wait(stream, waiting).await?;
    listener.metrics.admitted.inc();
    Ok(permit)
}

/// The handshake within its time, and what there is to count and to tell of it.
async fn secure(
    listener: &Listener,
    stream: TcpStream,
    client: SocketAddr,
    admitted: Instant,
) -> Result<Session<Arc<Upstream>>, Closure> {
    let metrics = &listener.metrics;
    let deadline = admitted + listener.handshake_timeout;
    let shaken = handshake(stream, Arc::clone(&listener.tls), |name| listener.route(name));
    let (closure, offence, error) = match timeout_at(deadline.into(), shaken).await {
        Ok(Ok(session)) => {
            metrics.handshake_done(session.version, session.resumed, admitted.elapsed());
            return Ok(session);
        }
        // Browsers connect ahead, and checks of a load balancer do no more than that.
        Ok(Err(HandshakeEnd::ClosedEarly)) => (Closure::ClosedEarly, None, None),
        Ok(Err(HandshakeEnd::Failed(failure, error))) => {
            metrics.handshake_failed(failure);
            // An alert of the client says that it does not like our certificate: an expired one must not get all visitors banned.
            let offence = (failure != HandshakeFailure::ClientAlert).then_some(Offence::HandshakeFailed);
            (Closure::HandshakeFailed, offence, Some(error))
        }
        Ok(Err(HandshakeEnd::HungUp)) => (Closure::ClosedEarly, Some(Offence::HungUp), None),
        Ok(Err(HandshakeEnd::NotTls)) => (Closure::NotTls, Some(Offence::NotTls), None),
        Ok(Err(HandshakeEnd::UnknownName)) => (Closure::UnknownName, Some(Offence::UnknownName), None),
        Err(_) => (Closure::HandshakeTimeout, Some(Offence::HandshakeTimeout), None),
    };
    if let Some(offence) = offence {
        // The far end of the socket, always: what bytes say of an address could be anybody's.
        listener.offended(client.ip(), offence, Instant::now());
    }
    if let Some(suppressed) = listener.quiet.may_write(Instant::now()) {
        let error = error.map(|error| error.to_string());
        let result = closure.word();
        tracing::info!(listener = listener.name, %client, result, error, suppressed, "no TLS session");
    }
    Err(closure)
}

/// Sends the PROXY header, where the upstream wants one, before the first relayed byte.
async fn announce(
    session: &Session<Arc<Upstream>>,
    connected: &mut Connected,
    client: SocketAddr,
) -> std::io::Result<()> {
    if session.route.proxy_header == ProxyProtocol::Off {
        return Ok(());
    }
    let (socket, tls) = session.stream.get_ref();
    let header = ProxyHeader {
        client,
        local: socket.local_addr()?,
        server_name: session.server_name.as_deref(),
        alpn: tls.alpn_protocol(),
        version: session.version,
        cipher: tls.negotiated_cipher_suite().map(|suite| suite.suite()),
    };
    connected.stream.write_all(&header.encode()).await
}
