//! Where connections are relayed to: the servers of an upstream, and which of them is tried when.
//!
//! route → **upstream** → relay. `reach` is one attempt, `server` what is remembered of a server, `health` and `ejection` the two
//! reasons to leave one out, `stream` what comes of it. What is relayed is not its business.

mod ejection;
mod health;
mod reach;
mod server;
mod stream;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ravelin_rules::policy::{self, Balance, Ejection, HealthChecks, ProxyHeader};
use rustls::crypto::CryptoProvider;

use self::health::Rounds;
pub(super) use self::health::Watching;
pub(super) use self::reach::Opening;
use self::reach::{Failed, reach};
use self::server::{Server, Slot};
pub(super) use self::stream::UpstreamStream;
use super::tls::{Connector, ConnectorError};
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
    /// `None`: bytes go unencrypted.
    tls: Option<Connector>,
    checks: Option<(HealthChecks, Arc<Rounds>)>,
    eject: Option<Ejection>,
    /// Held while it is decided whether a server may be left out: two at once could each count on the other.
    ejecting: Mutex<()>,
    next: AtomicUsize,
    metrics: UpstreamMetrics,
}

/// A connection to a server. The server counts it as open while this lives.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) stream: UpstreamStream,
    pub(super) server: SocketAddr,
    _slot: Slot,
}

/// No server could be reached; the error is the last one's.
#[derive(Debug)]
pub(super) struct Unreachable(pub(super) std::io::Error);

impl Upstream {
    /// The upstream as the policy describes it. Of servers that `previous` has too, it goes on knowing what is known: open
    /// connections, failures, and what the checks found. Reads the files of `tls`; checks nothing before
    /// [`watch`](Self::watch).
    pub(super) fn new(
        policy: &policy::Upstream,
        previous: Option<&Self>,
        metrics: UpstreamMetrics,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, ConnectorError> {
        let tls = policy.tls.as_ref();
        let tls = tls.map(|tls| Connector::load(tls, provider)).transpose()?;
        let known = |address: SocketAddr| {
            let mut servers = previous?.servers.iter();
            servers.find(|server| server.address == address)
        };
        let (checked, was_checked) = (
            policy.health,
            previous.and_then(|previous| previous.checks.as_ref()),
        );
        let server = |address: &SocketAddr| {
            let known = known(*address);
            // What was found before checks were switched off is long out of date when they are on again.
            let keep_health = checked.is_some() && was_checked.is_some();
            Arc::new(Server::new(*address, known.map(Arc::as_ref), keep_health))
        };
        let checks = checked.map(|terms| match was_checked {
            // A reload must not make the time until a server is found down any longer.
            Some((before, rounds)) if before.every == terms.every => (terms, Arc::clone(rounds)),
            _ => (terms, Arc::new(Rounds::beginning_within(terms.every))),
        });
        Ok(Arc::new(Self {
            name: policy.name.clone(),
            proxy_header: policy.proxy_protocol,
            servers: policy.servers.iter().map(server).collect(),
            balance: policy.balance,
            connect_timeout: policy.connect_timeout,
            tls,
            checks,
            eject: policy.eject,
            ejecting: Mutex::new(()),
            next: AtomicUsize::new(0),
            metrics,
        }))
    }

    /// Connects to the server whose turn it is, or to the next one that answers; each is tried once, for at most
    /// `connect_timeout`. The next one costs nothing: no byte of the client has been sent yet.
    pub(super) async fn connect(&self, opening: &Opening) -> Result<Connected, Unreachable> {
        let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
        for (attempt, server) in self.order(Instant::now()).into_iter().enumerate() {
            if attempt > 0 {
                self.metrics.retries.inc();
            }
            // Counted before it is connected: many connections at once would all see the same least loaded server.
            let slot = server.take_slot(&self.metrics.open);
            let tls = self.tls.as_ref();
            match reach(server.address, opening, tls, self.connect_timeout).await {
                Ok(stream) => {
                    self.metrics.connect(Connect::Connected);
                    server.ejection.succeeded();
                    return Ok(Connected {
                        stream,
                        server: server.address,
                        _slot: slot,
                    });
                }
                Err(failed) => {
                    self.metrics.connect(failed.result);
                    tracing::debug!(upstream = self.name, server = %server.address, error = %failed.error, "server not reached");
                    self.failed(server, &failed);
                    last = failed.error;
                }
            }
        }
        Err(Unreachable(last))
    }

    /// Shows the state of each server in the metrics.
    pub(super) fn observe(&self) {
        let now = Instant::now();
        for server in &self.servers {
            let up = self.checks.is_some().then(|| server.health.is_up());
            self.metrics
                .server(server.address, up, server.ejection.holds(now));
        }
    }

    /// Whether another server is left when this one is not tried.
    fn can_spare(&self, server: &Server, now: Instant) -> bool {
        let mut others = self
            .servers
            .iter()
            .filter(|other| other.address != server.address);
        others.any(|other| other.is_eligible(now))
    }

    /// An attempt of a client has failed; perhaps one too many.
    fn failed(&self, server: &Server, failed: &Failed) {
        let Some(terms) = self.eject.filter(|_| !failed.is_ours()) else {
            return;
        };
        let now = Instant::now();
        if !server.ejection.failed(terms, now) {
            return;
        }
        // Nothing is changed half-way in there.
        let _alone = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        if !server.ejection.holds(now) && self.can_spare(server, now) {
            server.ejection.begin(terms, now);
            self.metrics.ejections.inc();
            tracing::warn!(
                upstream = self.name, server = %server.address, error = %failed.error, seconds = terms.lasts.as_secs_f64(),
                "server ejected: it gets no connections for a while"
            );
        }
    }

    /// The servers to try, in this order. Those that are down or ejected are left out while there are others; when all are down
    /// it is the checks that are doubted, and all are tried.
    fn order(&self, now: Instant) -> Vec<&Arc<Server>> {
        let those = |wanted: &dyn Fn(&Server) -> bool| -> Vec<&Arc<Server>> {
            self.servers.iter().filter(|server| wanted(server)).collect()
        };
        let mut order = those(&|server| server.is_eligible(now));
        if order.is_empty() {
            order = those(&|server| server.health.is_up());
        }
        if order.is_empty() {
            order = those(&|_| true);
        }
        // Of those that are left: the one behind a server that is out would get the turns of both.
        let first = self.next.fetch_add(1, Ordering::Relaxed) % order.len().max(1);
        order.rotate_left(first);
        if self.balance == Balance::LeastConnections {
            // Stable: servers with equally many take turns.
            order.sort_by_key(|server| server.open());
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs;

    use super::*;
    use crate::metrics::EdgeMetrics;

    #[test]
    fn a_reload_does_not_put_the_next_round_of_checks_off() {
        let every = Duration::from_secs(3_600);
        let mut policy = policy::Upstream {
            name: "app".to_owned(),
            servers: vec!["127.0.0.1:9".parse().unwrap()],
            balance: Balance::RoundRobin,
            proxy_protocol: ProxyHeader::Off,
            connect_timeout: Duration::from_secs(1),
            tls: None,
            health: Some(HealthChecks {
                every,
                timeout: every,
                rise: 1,
                fall: 1,
            }),
            eject: None,
        };
        let (metrics, provider) = (
            EdgeMetrics::new().unwrap(),
            Arc::new(aws_lc_rs::default_provider()),
        );
        let make = |policy: &policy::Upstream, previous| {
            Upstream::new(policy, previous, metrics.upstream("app"), &provider).unwrap()
        };
        let rounds = |upstream: &Upstream| Arc::clone(&upstream.checks.as_ref().unwrap().1);
        let first = make(&policy, None);
        policy.servers.push("127.0.0.1:10".parse().unwrap());
        let second = make(&policy, Some(&first));
        assert!(Arc::ptr_eq(&rounds(&first), &rounds(&second)));
        policy.health.as_mut().unwrap().every = every / 2;
        let third = make(&policy, Some(&second));
        assert!(!Arc::ptr_eq(&rounds(&second), &rounds(&third)));
    }
}
