//! One line for a connection at its end.
//!
//! connection → **access log** → logging. Whether there is a line is decided first: one that is not written costs a comparison, and
//! nothing is kept for it that the connection does not hold anyway.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ravelin_rules::policy::AccessLog;
use tracing::field;

use super::listener::Listener;
use super::open::Opened;
use super::relay::Moved;
use crate::escape::Escaped;
use crate::metrics::labels::{Closure, LabelValue as _};

/// What is known of a connection so far.
#[derive(Debug)]
pub(super) struct Story {
    /// The far end of the socket.
    pub(super) peer: SocketAddr,
    /// Who is behind it: another one if a proxy says so.
    pub(super) client: SocketAddr,
    pub(super) accepted: Instant,
    /// A server name without a route, if it will be told.
    pub(super) unknown_name: Option<String>,
    pub(super) opened: Option<Opened>,
    pub(super) handshake: Option<Duration>,
    pub(super) server: Option<SocketAddr>,
    pub(super) moved: Moved,
}

impl Story {
    pub(super) fn new(peer: SocketAddr, accepted: Instant) -> Self {
        Self {
            peer,
            client: peer,
            accepted,
            unknown_name: None,
            opened: None,
            handshake: None,
            server: None,
            moved: Moved::default(),
        }
    }

    /// Writes the line, if the policy wants one of this end.
    pub(super) fn tell(&self, listener: &Listener, closure: Closure) {
        let suppressed = match listener.access {
            AccessLog::Off => return,
            AccessLog::All => None,
            AccessLog::Failures if in_order(closure) => return,
            AccessLog::Failures => match listener.access_quiet.may_write(Instant::now()) {
                None => return,
                suppressed => suppressed,
            },
        };
        let opened = self.opened.as_ref();
        let session = opened.and_then(Opened::session);
        let tls = session.map(|session| session.stream.get_ref().1);
        let name = opened
            .and_then(|opened| opened.server_name.as_ref())
            .or(self.unknown_name.as_ref());
        let suite = tls.and_then(|tls| tls.negotiated_cipher_suite());
        let group = tls.and_then(|tls| tls.negotiated_key_exchange_group());
        tracing::info!(
            target: TARGET,
            listener = field::display(&listener.name),
            client = field::display(self.client),
            peer = (self.peer != self.client).then(|| field::display(self.peer)),
            sni = name.map(|name| field::display(Escaped(name.as_bytes()))),
            version = session.map(|session| field::display(session.version.word())),
            suite = suite.map(|suite| field::debug(suite.suite())),
            group = group.map(|group| field::debug(group.name())),
            alpn = tls.and_then(|tls| tls.alpn_protocol()).map(|alpn| field::display(Escaped(alpn))),
            resumed = session.map(|session| session.resumed),
            route = opened.map(|opened| field::display(&opened.route.upstream.name)),
            server = self.server.map(field::display),
            to_upstream = self.moved.to_upstream,
            to_client = self.moved.to_client,
            handshake_ms = self.handshake.map(milliseconds),
            duration_ms = milliseconds(self.accepted.elapsed()),
            result = field::display(closure.word()),
            suppressed,
            "connection"
        );
    }
}

/// Whether neither side, nor the policy, nor the network is to blame for anything. Browsers and load balancers connect and say nothing.
fn in_order(closure: Closure) -> bool {
    matches!(closure, Closure::Completed | Closure::ClosedEarly)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What filters of the log know these lines by.
pub const TARGET: &str = "ravelin::access";
