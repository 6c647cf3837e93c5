//! The life of one admitted connection: wait, handshake, route, connect, relay, end.
//!
//! accept → **connection** → its end, which has exactly one name and is counted once. The permit is held until then.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ravelin_rules::policy::{AccessLog, ProxyHeader as ProxyProtocol};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout_at};

use super::access_log::Story;
use super::limit::{Abandoned, Admission, Permit, wait};
use super::listener::Listener;
use super::live::Orders;
use super::proxy_header::ProxyHeader;
use super::relay::relay;
use super::review::{Standing, dismissed, review};
use super::route::Route;
use super::tls::{HandshakeEnd, Refused, Session, handshake};
use super::upstream::{Opening, Unreachable};
use crate::metrics::labels::{ClientRefusal, Closure, HandshakeFailure, LabelValue as _, Offence};

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
    listener: &Arc<Listener>,
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
    standing.has_proved(session);
    if let Err(closure) = review(listener, standing) {
        // The policy was replaced while the client shook hands by the old one.
        return closure;
    }
    let Ok(opening) = opening(session, client) else {
        return Closure::ClientReset;
    };
    let mut connected = match session.route.upstream.connect(&opening).await {
        Ok(connected) => connected,
        Err(Unreachable(error)) => {
            let upstream = &session.route.upstream.name;
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
) -> Result<Session<Arc<Route>>, Closure> {
    let metrics = &listener.metrics;
    let deadline = admitted + listener.handshake_timeout;
    let shaken = handshake(stream, |name| {
        let choice = listener.choose(name);
        if choice.is_none() && listener.access != AccessLog::Off {
            *unknown_name = name.map(ToOwned::to_owned);
        }
        choice
    });
    let (closure, offence, error) = match timeout_at(deadline.into(), shaken).await {
        Ok(Ok(session)) => {
            metrics.handshake_done(session.version, session.resumed, admitted.elapsed());
            if let Some(acceptance) = session.acceptance {
                metrics.client_accepted(acceptance);
            }
            if let Some(group) = session.group {
                metrics.key_exchanged(group);
            }
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
        Ok(Err(HandshakeEnd::Refused(refused, server_name))) => {
            refuse(listener, &refused, server_name.as_deref(), client);
            return Err(Closure::ClientRefused);
        }
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

/// A client whose certificate does not let it in: counts it, and tells whom it claimed to be.
fn refuse(listener: &Listener, refused: &Refused, server_name: Option<&str>, client: SocketAddr) {
    let Refused { reason, certificate } = refused;
    listener.metrics.client_refused(*reason);
    let offends = match reason {
        // A clock, or a list that was not renewed in time, is the fault of whoever keeps them: it must not get all clients banned.
        ClientRefusal::CrlExpired
        | ClientRefusal::Expired
        | ClientRefusal::NotYetValid
        | ClientRefusal::RevocationUnknown => false,
        ClientRefusal::Malformed
        | ClientRefusal::NoCertificate
        | ClientRefusal::NotAllowed
        | ClientRefusal::Other
        | ClientRefusal::Revoked
        | ClientRefusal::UnknownCa
        | ClientRefusal::WrongUsage => true,
    };
    if offends {
        listener.offended(client.ip(), Offence::ClientRefused, Instant::now());
    }
    if let Some(suppressed) = listener.quiet.may_write(Instant::now()) {
        let reason = reason.word();
        tracing::info!(
            listener = listener.name, %client, server_name, reason, certificate, suppressed, "client refused by its certificate"
        );
    }
}

/// What the server is told before the first relayed byte: who the client is, where the upstream wants a PROXY header, and what it
/// speaks, where there is TLS.
fn opening(session: &Session<Arc<Route>>, client: SocketAddr) -> std::io::Result<Opening> {
    let (socket, tls) = session.stream.get_ref();
    let header = ProxyHeader {
        client,
        local: socket.local_addr()?,
        server_name: session.server_name.as_deref(),
        alpn: tls.alpn_protocol(),
        version: session.version,
        common_name: session
            .identity
            .as_ref()
            .map(|identity| identity.names.common_name.as_deref()),
        cipher: tls.negotiated_cipher_suite().map(|suite| suite.suite()),
    };
    Ok(Opening {
        header: match session.route.upstream.proxy_header {
            ProxyProtocol::Off => Vec::new(),
            ProxyProtocol::V1 => header.encode_v1(),
            ProxyProtocol::V2 => header.encode(),
        },
        alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
    })
}
