//! The life of one admitted connection: wait, handshake, route, connect, relay, end.
//!
//! accept → **connection** → its end, which has exactly one name and is counted once. The permit is held until then.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ravelin_rules::policy::{AccessLog, ProxyHeader as ProxyProtocol};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout_at};

use super::access_log::Story;
use super::limit::{Abandoned, Admission, Permit, wait};
use super::listener::Listener;
use super::live::Orders;
use super::proxy_header::ProxyHeader;
use super::relay::relay;
use super::review::{Standing, dismissed};
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
    mut orders: Orders,
) {
    let standing = Standing::default();
    standing.admitted_as(client.ip());
    let mut story = Story::new(client, accepted);
    let closure = tokio::select! {
        closure = live(&listener, stream, client, admission, &standing, &mut story) => closure,
        closure = dismissed(&listener, &standing, &mut orders) => closure,
        () = grown_old(listener.lifetime.map(|lifetime| accepted + lifetime)) => Closure::Lifetime,
    };
    listener.metrics.ended(closure);
    story.tell(&listener, closure);
    tracing::debug!(listener = listener.name, %client, result = closure.word(), "connection ended");
}

async fn live(
    listener: &Listener,
    stream: TcpStream,
    client: SocketAddr,
    admission: Admission,
    standing: &Standing,
    story: &mut Story,
) -> Closure {
    let accepted = story.accepted;
    let (_permit, admitted) = match admission {
        Admission::Now(permit) => (permit, accepted),
        Admission::Wait(turn, permit) => match turn_of(listener, &stream, turn, permit).await {
            Ok(permit) => {
                let admitted = Instant::now();
                listener
                    .metrics
                    .delay_seconds
                    .observe(admitted.saturating_duration_since(accepted).as_secs_f64());
                (permit, admitted)
            }
            Err(Abandoned) => return Closure::Abandoned,
        },
    };
    let session = match secure(listener, stream, client, admitted, &mut story.unknown_name).await {
        Ok(session) => story.session.insert(session),
        Err(closure) => return closure,
    };
    story.handshake = Some(admitted.elapsed());
    if let Some(chain) = session.stream.get_ref().1.peer_certificates() {
        standing.has_proved(chain);
    }
    let mut connected = match session.route.connect().await {
        Ok(connected) => connected,
        Err(Unreachable(error)) => {
            let upstream = &session.route.name;
            if let Some(suppressed) = listener.quiet.may_write(Instant::now()) {
                tracing::warn!(listener = listener.name, upstream, %error, suppressed, "no server reached");
            }
            return match error.kind() {
                ErrorKind::TimedOut => Closure::ConnectTimeout,
                _ => Closure::UpstreamUnreachable,
            };
        }
    };
    story.server = Some(connected.server);
    tracing::debug!(listener = listener.name, %client, server = %connected.server, "relaying");
    if announce(session, &mut connected, client).await.is_err() {
        return Closure::UpstreamReset;
    }
    relay(
        &mut session.stream,
        &mut connected.stream,
        listener.timeouts,
        &listener.metrics,
        &mut story.moved,
    )
    .await
}

/// Ready at that moment, if there is one.
async fn grown_old(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}

async fn turn_of(
    listener: &Listener,
    stream: &TcpStream,
    turn: Instant,
    permit: Permit,
) -> Result<Permit, Abandoned> {
    let permit = wait(stream, turn, permit).await?;
    listener.metrics.admitted.inc();
    Ok(permit)
}

/// The handshake within its time, and what there is to count and to tell of it.
async fn secure(
    listener: &Listener,
    stream: TcpStream,
    client: SocketAddr,
    admitted: Instant,
    unknown_name: &mut Option<String>,
) -> Result<Session<Arc<Upstream>>, Closure> {
    let metrics = &listener.metrics;
    let deadline = admitted + listener.handshake_timeout;
    let shaken = handshake(stream, Arc::clone(&listener.tls), |name| {
        let route = listener.route(name);
        if route.is_none() && listener.access != AccessLog::Off {
            *unknown_name = name.map(ToOwned::to_owned);
        }
        route
    });
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
