//! Where connections are relayed to: the servers of an upstream, and how one is chosen and reached.
//!
//! route → **upstream** → relay. A server that does not answer costs one attempt, then the next is tried; what is sent is not
//! its business.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::IntGauge;
use ravelin_rules::policy::{self, Balance, ProxyHeader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::metrics::UpstreamMetrics;
use crate::metrics::labels::Connect;

/// The servers of one `[[upstream]]`.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) name: String,
    /// What is sent before the first byte.
    pub(super) proxy_header: ProxyHeader,
    servers: Vec<Arc<Server>>,
    balance: Balance,
    connect_timeout: Duration,
    next: AtomicUsize,
    metrics: UpstreamMetrics,
}

/// A connection to a server. The server counts it as open while this lives.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    pub(super) server: SocketAddr,
    _slot: ServerSlot,
}

/// No server could be reached; the error is the last one's.
#[derive(Debug)]
pub(super) struct Unreachable(pub(super) io::Error);

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    open: AtomicUsize,
}

#[derive(Debug)]
struct ServerSlot(Arc<Server>, IntGauge);

impl Upstream {
    /// The upstream as the policy describes it. Servers that `previous` has too keep their number of open connections.
    pub(super) fn new(
        policy: &policy::Upstream,
        previous: Option<&Self>,
        metrics: UpstreamMetrics,
    ) -> Arc<Self> {
        let server = |address: &SocketAddr| {
            let known = previous
                .and_then(|previous| previous.servers.iter().find(|server| server.address == *address));
            known.map_or_else(
                || {
                    Arc::new(Server {
                        address: *address,
                        open: AtomicUsize::new(0),
                    })
                },
                Arc::clone,
            )
        };
        Arc::new(Self {
            name: policy.name.clone(),
            proxy_header: policy.proxy_protocol,
            servers: policy.servers.iter().map(server).collect(),
            balance: policy.balance,
            connect_timeout: policy.connect_timeout,
            next: AtomicUsize::new(0),
            metrics,
        })
    }

    /// Connects to the server whose turn it is, or to the next one that answers; each is tried once.
    pub(super) async fn connect(&self) -> Result<Connected, Unreachable> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for server in self.order() {
            // Counted before it is connected: many connections at once would all see the same least loaded server.
            server.open.fetch_add(1, Ordering::Relaxed);
            self.metrics.open.inc();
            let slot = ServerSlot(Arc::clone(server), self.metrics.open.clone());
            match timeout(self.connect_timeout, TcpStream::connect(server.address)).await {
                Ok(Ok(stream)) => {
                    self.metrics.connect(Connect::Connected);
                    // A socket that just connected takes the option; if it broke meanwhile the relay will see it.
                    drop(stream.set_nodelay(true));
                    return Ok(Connected {
                        stream,
                        server: server.address,
                        _slot: slot,
                    });
                }
                Ok(Err(error)) => {
                    let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                    self.metrics
                        .connect(if refused { Connect::Refused } else { Connect::Error });
                    last = error;
                }
                Err(elapsed) => {
                    self.metrics.connect(Connect::Timeout);
                    last = elapsed.into();
                }
            }
            tracing::debug!(upstream = self.name, server = %server.address, error = %last, "server not reached");
        }
        Err(Unreachable(last))
    }

    /// Every server once, in the order they are to be tried.
    fn order(&self) -> Vec<&Arc<Server>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.servers.len().max(1);
        let mut order: Vec<_> = self.servers[first..]
            .iter()
            .chain(&self.servers[..first])
            .collect();
        if self.balance == Balance::LeastConnections {
            // Stable: servers with equally many take turns.
            order.sort_by_key(|server| server.open.load(Ordering::Relaxed));
        }
        order
    }
}

impl Drop for ServerSlot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.1.dec();
    }
}
