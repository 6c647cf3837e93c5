//! The first bytes of a client: its name, the route, and TLS as far as it ends here.
//!
//! connection → **open** → upstream. Within `handshake_timeout`, and what there is to count and to tell of one that fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ravelin_rules::policy::AccessLog;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::access_log::Story;
use super::ahead::{Ahead, Held};
use super::connection::Who;
use super::listener::Listener;
use super::route::Route;
use super::tls::hello::Hello;
use super::tls::{HandshakeEnd, Identity, Refused, Session, handshake, read_hello, refuse_name};
use crate::metrics::labels::{ClientRefusal, Closure, HandshakeFailure, LabelValue as _, Offence};

/// A client whose route is known.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) route: Arc<Route>,
    /// What it asked for, lower case.
    pub(super) server_name: Option<String>,
    pub(super) stream: Stream,
}

/// What it speaks through.
#[derive(Debug)]
pub(super) enum Stream {
    /// TLS ends here.
    Ended(Box<Session>),
    /// TLS ends at the upstream: the bytes are relayed as they come, those first that were read for the name.
    Passed(TcpStream, Held),
}

impl Opened {
    /// The session, where TLS ends here.
    pub(super) fn session(&self) -> Option<&Session> {
        match &self.stream {
            Stream::Ended(session) => Some(session),
            Stream::Passed(..) => None,
        }
    }

    /// Who the client has proven to be.
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.session()?.identity.as_ref()
    }

    /// The address that the client, or the proxy in front, has connected to.
    pub(super) fn local_addr(&self) -> std::io::Result<SocketAddr> {
        match &self.stream {
            Stream::Ended(session) => session.stream.get_ref().0.local_addr(),
            Stream::Passed(socket, _) => socket.local_addr(),
        }
    }
}

/// Reads the hello, finds the route, and shakes hands unless the upstream does.
pub(super) async fn open(
    listener: &Listener,
    ahead: Ahead,
    who: Who,
    admitted: Instant,
    story: &mut Story,
) -> Result<Opened, Closure> {
    let metrics = &listener.metrics;
    let deadline = admitted + listener.handshake_timeout;
    let mut server_name = None;
    let opening = attempt(listener, ahead, admitted, &mut server_name);
    let (closure, offence, error) = match timeout_at(deadline.into(), opening).await {
        Ok(Ok((route, stream))) => {
            return Ok(Opened {
                route,
                server_name,
                stream,
            });
        }
        // Browsers connect ahead, and checks of a load balancer do no more than that.
        Ok(Err(HandshakeEnd::ClosedEarly)) => (Closure::ClosedEarly, None, None),
        Ok(Err(HandshakeEnd::Failed(failure, error))) => {
            metrics.handshake_failed(failure);
            let offence = match failure {
                // An alert of the client says that it does not like our certificate: an expired one must not get all visitors banned.
                HandshakeFailure::ClientAlert => None,
                // Others have taken the room.
                HandshakeFailure::NoRoom => None,
                _ => Some(Offence::HandshakeFailed),
            };
            (Closure::HandshakeFailed, offence, Some(error))
        }
        Ok(Err(HandshakeEnd::HungUp)) => (Closure::ClosedEarly, Some(Offence::HungUp), None),
        Ok(Err(HandshakeEnd::NotTls)) => (Closure::NotTls, Some(Offence::NotTls), None),
        Ok(Err(HandshakeEnd::Refused(refused))) => {
            refuse(listener, &refused, server_name.as_deref(), who);
            return Err(Closure::ClientRefused);
        }
        Ok(Err(HandshakeEnd::UnknownName)) => {
            if listener.access != AccessLog::Off {
                story.unknown_name = server_name;
            }
            (Closure::UnknownName, Some(Offence::UnknownName), None)
        }
        Err(_) => (Closure::HandshakeTimeout, Some(Offence::HandshakeTimeout), None),
    };
    if let Some(offence) = offence {
        // The far end of the socket, always: what bytes say of an address could be anybody's.
        listener.offended(who.peer.ip(), offence, Instant::now());
    }
    if let Some(suppressed) = listener.quiet.may_write(Instant::now()) {
        let error = error.map(|error| error.to_string());
        let (client, result) = (who.client(), closure.word());
        tracing::info!(listener = listener.name, %client, result, error, suppressed, "no TLS session");
    }
    Err(closure)
}

async fn attempt(
    listener: &Listener,
    mut ahead: Ahead,
    admitted: Instant,
    server_name: &mut Option<String>,
) -> Result<(Arc<Route>, Stream), HandshakeEnd> {
    let hello = read_hello(&mut ahead).await?;
    let Hello { legacy_version, .. } = hello;
    *server_name = hello.server_name;
    let Some(route) = listener.route(server_name.as_deref()) else {
        return Err(refuse_name(&mut ahead, legacy_version).await);
    };
    if route.passthrough {
        let (stream, sent) = ahead.into_parts();
        return Ok((route, Stream::Passed(stream, sent)));
    }
    let (config, examination) = listener.handshake_for(&route);
    let session = handshake(ahead, legacy_version, config, examination).await?;
    let metrics = &listener.metrics;
    metrics.handshake_done(session.version, session.resumed, admitted.elapsed());
    if let Some(acceptance) = session.acceptance {
        metrics.client_accepted(acceptance);
    }
    if let Some(group) = session.group {
        metrics.key_exchanged(group);
    }
    Ok((route, Stream::Ended(Box::new(session))))
}

/// A client whose certificate does not let it in: counts it, and tells whom it claimed to be.
fn refuse(listener: &Listener, refused: &Refused, server_name: Option<&str>, who: Who) {
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
        listener.offended(who.peer.ip(), Offence::ClientRefused, Instant::now());
    }
    if let Some(suppressed) = listener.quiet.may_write(Instant::now()) {
        let (client, reason) = (who.client(), reason.word());
        tracing::info!(
            listener = listener.name, %client, server_name, reason, certificate, suppressed, "client refused by its certificate"
        );
    }
}
