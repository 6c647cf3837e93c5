//! The life of one admitted connection: whom a proxy names, wait, hello, route, TLS, connect, relay, end.
//!
//! accept → **connection** → its end, which has exactly one name and is counted once. The permit is held until then.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use ravelin_rules::policy::ProxyHeader as ProxyProtocol;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use super::accept::{note, refuse, reset};
use super::access_log::Story;
use super::ahead::Ahead;
use super::limit::{Admission, Entrant, TotalSlot, WaitEnd, wait};
use super::listener::Listener;
use super::live::Orders;
use super::open::{Opened, Stream, open};
use super::pace::Pace;
use super::proxy::{Ends, ProxyHeader, Secured, introduce};
use super::relay::relay;
use super::review::{Standing, dismissed, review};
use super::upstream::{Opening, Unreachable};
use crate::metrics::labels::{Closure, LabelValue as _};
use crate::wall_clock::unix_now;

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

/// Serves a connection that the gate let in at `accepted`, until its end or until it is cut.
pub(super) async fn serve(
    listener: Arc<Listener>,
    stream: TcpStream,
    peer: SocketAddr,
    entrant: Entrant,
    accepted: Instant,
    mut orders: Orders,
) {
    let standing = Standing::default();
    let mut story = Story::new(peer, accepted);
    let closure = tokio::select! {
        // The order matters to nobody; a random one would be drawn each time a byte moves.
        biased;
        closure = live(&listener, stream, entrant, &standing, &mut story) => closure,
        closure = dismissed(&listener, &standing, &mut orders) => closure,
        () = grown_old(listener.lifetime.map(|lifetime| accepted + lifetime)) => Closure::Lifetime,
    };
    listener.metrics.ended(closure);
    story.tell(&listener, closure);
    tracing::debug!(listener = listener.name, %peer, result = closure.word(), "connection ended");
}

async fn live(
    listener: &Arc<Listener>,
    stream: TcpStream,
    entrant: Entrant,
    standing: &Standing,
    story: &mut Story,
) -> Closure {
    let (peer, accepted) = (story.peer, story.accepted);
    let mut ahead = Ahead::new(stream, listener.hello_memory.share());
    let (who, admission, judged) = match entrant {
        Entrant::Client(admission) => (Who::direct(peer), admission, accepted),
        Entrant::Proxy(place) => match boxed(introduced(listener, &mut ahead, peer, place, accepted)).await {
            Ok((who, admission)) => (who, admission, Instant::now()),
            Err(closure) => return closure,
        },
    };
    story.client = who.client();
    standing.admitted_as(story.client.ip());
    note(listener, &admission, who);
    let (_permit, admitted) = match admission {
        Admission::Now(permit) | Admission::Observed(permit, _) => (permit, judged),
        Admission::Wait(waiting) => match boxed(wait(ahead.stream(), waiting)).await {
            Ok(permit) => (permit, waited(listener, judged)),
            Err(WaitEnd::Abandoned) => return Closure::Abandoned,
            Err(WaitEnd::Refused(refused)) => return refuse(listener, ahead.stream(), who, refused),
        },
    };
    listener.metrics.admitted.inc();
    let opened = match boxed(open(listener, ahead, who, admitted, story)).await {
        Ok(opened) => story.opened.insert(opened),
        Err(closure) => return closure,
    };
    story.handshake = Some(admitted.elapsed());
    standing.has_proved(opened);
    if let Err(closure) = review(listener, standing) {
        // The policy was replaced while the client shook hands by the old one.
        return closure;
    }
    let Ok(opening) = opening(opened, who) else {
        return Closure::ClientReset;
    };
    let upstream = &opened.route.upstream;
    let mut connected = match boxed(upstream.connect(&opening)).await {
        Ok(connected) => connected,
        Err(Unreachable(error)) => {
            if let Some(suppressed) = listener.quiet.may_write(Instant::now()) {
                let upstream = &upstream.name;
                tracing::warn!(listener = listener.name, upstream, %error, suppressed, "no server reached");
            }
            return match error.kind() {
                ErrorKind::TimedOut => Closure::ConnectTimeout,
                _ => Closure::UpstreamUnreachable,
            };
        }
    };
    story.server = Some(connected.server);
    tracing::debug!(listener = listener.name, client = %who.client(), server = %connected.server, "relaying");
    let server = &mut connected.stream;
    let (timeouts, metrics, moved) = (listener.timeouts, &listener.metrics, &mut story.moved);
    let paces = Pace::both(
        listener.bandwidth.as_deref(),
        who.client().ip(),
        listener.observe,
        metrics,
    );
    match &mut opened.stream {
        Stream::Ended(session) => relay(&mut session.stream, server, timeouts, metrics, paces, moved).await,
        Stream::Passed(client, held) => {
            // Bounded: a server that takes none of it is as idle as one that takes nothing later.
            match timeout(timeouts.idle, server.write_all(held.bytes())).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Closure::UpstreamReset,
                Err(_) => return Closure::IdleTimeout,
            }
            let sent = held.bytes().len() as u64;
            metrics.to_upstream.inc_by(sent);
            moved.to_upstream += sent;
            held.release();
            relay(client, server, timeouts, metrics, paces, moved).await
        }
    }
}

/// A stage that has its memory for as long as it lasts. A future is as large as the largest of what it awaits: the handshake would be part of
/// every idle connection, and be copied with it when the task is made.
fn boxed<F: Future>(stage: F) -> Pin<Box<F>> {
    Box::pin(stage)
}

/// Ready at that moment, if there is one.
async fn grown_old(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end.into()).await,
        None => std::future::pending().await,
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

/// What the server is told before the first relayed byte: who the client is, where the upstream wants a PROXY header, and what it
/// speaks, where there is TLS.
fn opening(opened: &Opened, who: Who) -> io::Result<Opening> {
    let session = opened.session();
    let tls = session.map(|session| (session.stream.get_ref().1, session.version));
    let alpn = tls.and_then(|(tls, _)| tls.alpn_protocol());
    let header = ProxyHeader {
        client: who.client(),
        local: who
            .named
            .map_or_else(|| opened.local_addr(), |ends| Ok(ends.local))?,
        server_name: opened.server_name.as_deref(),
        alpn,
        tls: tls.map(|(tls, version)| Secured {
            version,
            cipher: tls.negotiated_cipher_suite().map(|suite| suite.suite()),
            common_name: opened
                .identity()
                .map(|identity| identity.names.common_name.as_deref()),
        }),
    };
    Ok(Opening {
        header: match opened.route.upstream.proxy_header {
            ProxyProtocol::Off => Vec::new(),
            ProxyProtocol::V1 => header.encode_v1(),
            ProxyProtocol::V2 => header.encode(),
        },
        alpn: alpn.map(<[u8]>::to_vec),
    })
}
