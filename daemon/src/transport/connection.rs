//! The life of one admitted connection: wait, handshake, route, connect, relay, end.
//!
//! accept → **connection** → its end, which has exactly one name and is counted once. The permit is held until then.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ravelin_rules::policy::ProxyHeader as ProxyProtocol;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};

use super::accept::{refuse, reset, unix_now};
use super::ahead::Ahead;
use super::limit::{Abandoned, Admission, Entrant, TotalSlot, wait};
use super::listener::Listener;
use super::live::Cut;
use super::proxy::{Ends, ProxyHeader, Secured, introduce};
use super::relay::relay;
use super::tls::hello::Hello;
use super::tls::{HandshakeEnd, Session, handshake, read_hello, refuse_name};
use super::upstream::{Connected, Unreachable, Upstream};
use crate::metrics::labels::{Closure, HandshakeFailure, LabelValue as _, Offence};

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    /// The far end of the socket.
    pub(super) peer: SocketAddr,
    /// Whom the peer, a trusted proxy, speaks for.
    named: Option<Ends>,
}

impl Who {
    /// Nobody speaks for anybody.
    pub(super) const fn direct(peer: SocketAddr) -> Self {
        Self { peer, named: None }
    }

    /// Whose connection it is: what lists, limits, logs and upstreams go by.
    pub(super) fn client(&self) -> SocketAddr {
        self.named.map_or(self.peer, |ends| ends.client)
    }
}

/// A client whose route is known.
struct Opened {
    upstream: Arc<Upstream>,
    server_name: Option<String>,
    stream: Stream,
}

enum Stream {
    /// TLS ends here.
    Ended(Box<Session>),
    /// TLS ends at the upstream: the bytes are relayed as they come, those first that were read for the name.
    Passed(TcpStream, Vec<u8>),
}

/// Serves a connection that the gate let in at `accepted`, until its end or until it is cut.
pub(super) async fn serve(
    listener: Arc<Listener>,
    stream: TcpStream,
    peer: SocketAddr,
    entrant: Entrant,
    accepted: Instant,
    mut cut: Cut,
) {
    let closure = tokio::select! {
        closure = live(&listener, stream, peer, entrant, accepted) => closure,
        () = cut.received() => Closure::Shutdown,
    };
    listener.metrics.ended(closure);
    tracing::debug!(listener = listener.name, %peer, result = closure.word(), "connection ended");
}

async fn live(
    listener: &Listener,
    stream: TcpStream,
    peer: SocketAddr,
    entrant: Entrant,
    accepted: Instant,
) -> Closure {
    let mut ahead = Ahead::new(stream);
    let (who, admission, judged) = match entrant {
        Entrant::Client(admission) => (Who::direct(peer), admission, accepted),
        Entrant::Proxy(place) => match introduced(listener, &mut ahead, peer, place, accepted).await {
            Ok((who, admission)) => (who, admission, Instant::now()),
            Err(closure) => return closure,
        },
    };
    let (_permit, admitted) = match admission {
        Admission::Now(permit) => (permit, judged),
        Admission::Wait(turn, permit) => match wait(ahead.stream(), turn, permit).await {
            Ok(permit) => (permit, waited(listener, judged)),
            Err(Abandoned) => return Closure::Abandoned,
        },
    };
    listener.metrics.admitted.inc();
    let opened = match open_in_time(listener, ahead, who, admitted).await {
        Ok(opened) => opened,
        Err(closure) => return closure,
    };
    let mut connected = match opened.upstream.connect().await {
        Ok(connected) => connected,
        Err(Unreachable(error)) => {
            let upstream = &opened.upstream.name;
            if let Some(suppressed) = listener.quiet.may_write(Instant::now()) {
                tracing::warn!(listener = listener.name, upstream, %error, suppressed, "no server reached");
            }
            return Closure::UpstreamUnreachable;
        }
    };
    let client = who.client();
    tracing::debug!(listener = listener.name, %client, server = %connected.server, "relaying");
    // Bounded: a server that takes none of it is as idle as one that takes nothing later.
    match timeout(
        listener.idle_timeout,
        begin(listener, &opened, who, &mut connected),
    )
    .await
    {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Closure::UpstreamReset,
        Err(_) => return Closure::IdleTimeout,
    }
    let (upstream, idle, metrics) = (&mut connected.stream, listener.idle_timeout, &listener.metrics);
    match opened.stream {
        Stream::Ended(session) => {
            let mut tls = session.stream;
            relay(&mut tls, upstream, idle, metrics).await
        }
        Stream::Passed(mut plain, sent) => {
            drop(sent);
            relay(&mut plain, upstream, idle, metrics).await
        }
    }
}

/// Reads whom the proxy speaks for, and asks the gate about them.
async fn introduced(
    listener: &Listener,
    ahead: &mut Ahead,
    peer: SocketAddr,
    place: TotalSlot,
    accepted: Instant,
) -> Result<(Who, Admission), Closure> {
    let named = match introduce(ahead, accepted + listener.proxy_timeout).await {
        Ok((named, result)) => {
            listener.metrics.proxy_header(result);
            named
        }
        Err(None) => return Err(Closure::ClosedEarly),
        Err(Some(result)) => {
            listener.metrics.proxy_header(result);
            reset(ahead.stream());
            if let Some(suppressed) = listener.quiet.may_write(Instant::now()) {
                let result = result.word();
                tracing::warn!(listener = listener.name, proxy = %peer, result, suppressed, "no PROXY header");
            }
            return Err(Closure::ProxyHeader);
        }
    };
    let who = Who { peer, named };
    let client = who.client().ip();
    match listener.gate.admit(client, place, Instant::now(), unix_now()) {
        Ok(admission) => Ok((who, admission)),
        Err(refused) => Err(refuse(listener, ahead.stream(), who, refused)),
    }
}

/// The turn has come: now.
fn waited(listener: &Listener, since: Instant) -> Instant {
    let now = Instant::now();
    let seconds = now.saturating_duration_since(since).as_secs_f64();
    listener.metrics.delay_seconds.observe(seconds);
    now
}

/// A route, and TLS as far as it ends here.
async fn open(listener: &Listener, mut ahead: Ahead, admitted: Instant) -> Result<Opened, HandshakeEnd> {
    let Hello {
        server_name,
        legacy_version,
        ..
    } = read_hello(&mut ahead).await?;
    let Some(route) = listener.route(server_name.as_deref()) else {
        return Err(refuse_name(&mut ahead, legacy_version).await);
    };
    let stream = if route.passthrough {
        let (stream, sent) = ahead.into_parts();
        Stream::Passed(stream, sent)
    } else {
        let session = handshake(ahead, legacy_version, Arc::clone(&listener.tls)).await?;
        let took = admitted.elapsed();
        listener
            .metrics
            .handshake_done(session.version, session.resumed, took);
        Stream::Ended(Box::new(session))
    };
    Ok(Opened {
        upstream: route.upstream,
        server_name,
        stream,
    })
}

/// The same within its time, and what there is to count and to tell of one that fails.
async fn open_in_time(
    listener: &Listener,
    ahead: Ahead,
    who: Who,
    admitted: Instant,
) -> Result<Opened, Closure> {
    let metrics = &listener.metrics;
    let deadline = admitted + listener.handshake_timeout;
    let (closure, offence, error) = match timeout_at(deadline.into(), open(listener, ahead, admitted)).await {
        Ok(Ok(opened)) => return Ok(opened),
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
        listener.offended(who.peer.ip(), offence, Instant::now());
    }
    if let Some(suppressed) = listener.quiet.may_write(Instant::now()) {
        let error = error.map(|error| error.to_string());
        let (client, result) = (who.client(), closure.word());
        tracing::info!(listener = listener.name, %client, result, error, suppressed, "no TLS session");
    }
    Err(closure)
}

/// Sends what the upstream is to read first: the PROXY header, where it wants one, and what was read of TLS that it ends.
async fn begin(listener: &Listener, opened: &Opened, who: Who, connected: &mut Connected) -> io::Result<()> {
    let (socket, sent, tls) = match &opened.stream {
        Stream::Ended(session) => {
            let (socket, tls) = session.stream.get_ref();
            (socket, &[][..], Some((tls, session.version)))
        }
        Stream::Passed(socket, sent) => (socket, sent.as_slice(), None),
    };
    if opened.upstream.proxy_header == ProxyProtocol::Off {
        connected.stream.write_all(sent).await?;
    } else {
        let header = ProxyHeader {
            client: who.client(),
            local: who
                .named
                .map_or_else(|| socket.local_addr(), |ends| Ok(ends.local))?,
            server_name: opened.server_name.as_deref(),
            alpn: tls.and_then(|(tls, _)| tls.alpn_protocol()),
            tls: tls.map(|(tls, version)| Secured {
                version,
                cipher: tls.negotiated_cipher_suite().map(|suite| suite.suite()),
            }),
        };
        let mut first = header.encode();
        first.extend_from_slice(sent);
        connected.stream.write_all(&first).await?;
    }
    listener.metrics.to_upstream.inc_by(sent.len() as u64);
    Ok(())
}
