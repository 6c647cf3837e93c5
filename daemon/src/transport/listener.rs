//! One listener as it is served now: its gate, its TLS settings, its routes, its timeouts.
//!
//! policy → **listener** → accept, connection. A reload makes a new one and swaps it in; connections go on with the one they
//! began with. What must outlive a reload (open connections, limiter state, ticket keys) is handed from old to new.

#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ravelin_rules::policy::{self, AccessLog, OverLimit, SniPattern, SniPolicy};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::escalation::{BanQueue, Escalation};
use super::hello_memory::HelloMemory;
use super::limit::{AddressRanges, Bandwidth, Gate, Limiter, Rates, Terms, Total};
use super::quiet::Quiet;
use super::relay::Timeouts;
use super::review::Present;
use super::route::{Asking, Route};
use super::tls::{
    Certificate, CertificateError, ClientAuthError, Examination, KeptPair, NameMap, Settings, TicketKeys,
    TlsError, last_good,
};
use super::upstream::Upstream;
use crate::metrics::labels::{ClientRefusal, Offence};
use crate::metrics::{EdgeMetrics, ListenerMetrics};

/// A `[[listener]]`, ready to serve.
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) gate: Gate,
    /// `None` when bytes are not limited.
    pub(super) bandwidth: Option<Arc<Bandwidth>>,
    /// Limits are judged and counted, and not enforced.
    pub(super) observe: bool,
    pub(super) tls: Settings,
    /// Bounds what clients without a session can make the edge hold.
    pub(super) hello_memory: Arc<HelloMemory>,
    pub(super) proxy_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) timeouts: Timeouts,
    /// From accept; `None`: for ever.
    pub(super) lifetime: Option<Duration>,
    /// Which connections get a line at their end.
    pub(super) access: AccessLog,
    pub(super) metrics: ListenerMetrics,
    /// Bounds what hostile connections can write into the log.
    pub(super) quiet: Arc<Quiet>,
    /// The same for the access log.
    pub(super) access_quiet: Arc<Quiet>,
    /// Who has its name now.
    pub(super) present: Present,
    /// Pairs that could not be read; the last good ones are served.
    pub(super) kept: Vec<KeptPair>,
    certificates: Vec<Certificate>,
    /// `(certificate file, not after, end of its staple)` of each certificate.
    pub(super) expiries: Vec<(String, i64, Option<i64>)>,
    routes: NameMap<Arc<Route>>,
    /// Where unknown names go; `None`: they are refused.
    fallback: Option<Arc<Route>>,
    /// What is asked of clients whose route is gone.
    asking: Asking,
    rates: Option<Rates>,
    /// `None`: nobody is banned because of this listener.
    escalation: Option<Arc<Escalation>>,
    tickets: Option<Arc<TicketKeys>>,
}

impl Listener {
    /// Builds the listener of `policy`, with the state of `previous`, the listener of that name until now.
    pub(super) fn new(
        policy: &policy::Listener,
        upstream: impl Fn(&str) -> Option<Arc<Upstream>>,
        previous: Option<&Self>,
        provider: &Arc<CryptoProvider>,
        metrics: &EdgeMetrics,
        bans: &BanQueue,
    ) -> Result<Self, ListenerError> {
        let known = previous.map_or(&[][..], |previous| &previous.certificates);
        let (certificates, kept) = last_good(&policy.tls, known, provider)?;
        warn_about(policy, &certificates);
        let tickets = tickets(policy, previous)?;
        let asking = Asking::load(policy.tls.client_auth.as_ref(), provider)?;
        let mut routes = Vec::new();
        for route in &policy.routes {
            let upstream = upstream(&route.upstream).ok_or_else(|| ListenerError::UnknownUpstream {
                upstream: route.upstream.clone(),
            })?;
            let asking = asking.of(route.client_auth)?;
            let passthrough = route.passthrough;
            routes.push((
                route.sni.clone(),
                Arc::new(Route {
                    upstream,
                    asking,
                    passthrough,
                }),
            ));
        }
        let fallback = match policy.sni_policy {
            SniPolicy::Default => routes.first().map(|(_, route)| Arc::clone(route)),
            SniPolicy::Strict => None,
        };
        let counters = metrics.listener(&policy.name);
        let rates = rates(&policy.limits);
        Ok(Self {
            name: policy.name.clone(),
            gate: gate(policy, rates, previous, &counters),
            bandwidth: bandwidth(&policy.limits, previous),
            observe: policy.limits.observe,
            escalation: escalation(policy, previous, &counters, bans),
            tls: Settings::new(&policy.tls, &certificates, tickets.clone(), provider)?,
            hello_memory: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.hello_memory)),
            proxy_timeout: policy.limits.proxy_timeout,
            handshake_timeout: policy.limits.handshake_timeout,
            timeouts: Timeouts {
                idle: policy.limits.idle_timeout,
                close: policy.limits.close_timeout,
            },
            lifetime: policy.limits.lifetime,
            access: AccessLog::Off,
            metrics: counters,
            quiet: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.quiet)),
            access_quiet: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.access_quiet)),
            present: previous.map_or_else(Present::none, |previous| previous.present.clone()),
            kept,
            expiries: certificates
                .iter()
                .map(|pair| (text(&pair.file), pair.not_after, pair.staple_ends()))
                .collect(),
            certificates,
            routes: NameMap::new(routes),
            fallback,
            asking,
            rates,
            tickets,
        })
    }

    /// How to shake hands with a client of `route`, and who examines it where it is asked for a certificate.
    pub(super) fn handshake_for(&self, route: &Route) -> (Arc<ServerConfig>, Option<Arc<Examination>>) {
        let examination = route.asking.examination();
        let config = match &examination {
            Some(examination) => self.tls.asking(Arc::clone(examination)),
            None => self.tls.unasked(),
        };
        (config, examination)
    }

    /// Whether a connection for this server name, whose client has shown `chain` (leaf first; empty: none), would still be let in by
    /// its certificate at `now`. When its route is gone, the `mode` of the listener decides.
    ///
    /// # Errors
    ///
    /// Why it would not.
    pub(super) fn still_accepts(
        &self,
        server_name: Option<&str>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), ClientRefusal> {
        let route = self.route(server_name);
        route
            .as_ref()
            .map_or(&self.asking, |route| &route.asking)
            .still_accept(chain, now)
    }

    /// The most exact route for a server name, or what `sni_policy` says.
    pub(super) fn route(&self, server_name: Option<&str>) -> Option<Arc<Route>> {
        self.routes
            .find(server_name)
            .first()
            .or(self.fallback.as_ref())
            .cloned()
    }

    /// The far end of an accepted socket has offended.
    pub(super) fn offended(&self, peer: IpAddr, offence: Offence, now: Instant) {
        self.metrics.offence(offence);
        if let Some(escalation) = &self.escalation {
            escalation.offended(peer, offence, now);
        }
    }

    /// `next` takes its place, if there is one: connections that go on with this listener must not get anybody banned by terms that are
    /// no longer the policy's.
    pub(super) fn retire(&self, next: Option<&Self>) {
        if let Some(escalation) = &self.escalation
            && !next
                .and_then(|next| next.escalation.as_ref())
                .is_some_and(|kept| Arc::ptr_eq(kept, escalation))
        {
            escalation.retire();
        }
    }

    /// Shows the state of the limiter, and of the sources that have offended, in the metrics.
    pub(super) fn observe(&self) {
        match &self.escalation {
            Some(escalation) => escalation.observe(),
            None => {
                self.metrics.offenders.set(0);
                self.metrics.offenders_capacity.set(0);
            }
        }
        let limiter = self
            .gate
            .sources
            .as_ref()
            .map(|(limiter, _)| limiter.memory_bound());
        let bandwidth = self.bandwidth.as_ref().map(|bandwidth| bandwidth.memory_bound());
        let bound = limiter.unwrap_or(0) + bandwidth.unwrap_or(0);
        self.metrics.limiter_memory_bound.set(gauge(bound));
        if let Some((limiter, _)) = &self.gate.sources {
            self.metrics.limiter_sources.set(gauge(limiter.sources()));
            self.metrics.limiter_capacity.set(gauge(limiter.capacity()));
            self.metrics.delay_queue.set(i64::from(limiter.waiting()));
        }
    }
}

/// What the limiter's state depends on; `None` when it has nothing to judge. When it changes the listener begins with a new limiter, which
/// does not know the connections that are open; the cap on all connections does.
fn rates(limits: &policy::ListenerLimits) -> Option<Rates> {
    let connections = limits.connections.as_ref();
    let per_network = connections.and_then(|connections| connections.per_network);
    let by_network = per_network.is_some() || limits.concurrent.per_network.is_some();
    let needed = connections.is_some()
        || limits.handshakes.is_some()
        || limits.concurrent.per_source.is_some()
        || by_network;
    needed.then(|| Rates {
        connections: connections.map(|connections| connections.per_source),
        per_network,
        handshakes: limits.handshakes,
        network: by_network.then_some(limits.network),
        max_sources: limits.max_sources,
    })
}

fn gate(
    policy: &policy::Listener,
    rates: Option<Rates>,
    previous: Option<&Listener>,
    metrics: &ListenerMetrics,
) -> Gate {
    let limits = &policy.limits;
    let terms = Terms {
        per_source: limits.concurrent.per_source,
        per_network: limits.concurrent.per_network,
        over: limits
            .connections
            .as_ref()
            .map_or(OverLimit::Refuse, |connections| connections.over),
        observe: limits.observe,
    };
    let sources = rates.map(|rates| {
        let kept = previous
            .filter(|previous| previous.rates == Some(rates))
            .and_then(|previous| previous.gate.sources.as_ref());
        let new = || Limiter::new(rates, metrics.limiter_shared.clone(), Instant::now());
        let limiter = kept.map_or_else(new, |(limiter, _)| Arc::clone(limiter));
        (limiter, terms)
    });
    Gate {
        trusted_proxies: policy.trusted_proxies.as_ref().map(AddressRanges::compile),
        allow: AddressRanges::compile(&policy.allow),
        deny: AddressRanges::compile(&policy.deny),
        total: previous.map_or_else(
            || Total::new(metrics.open.clone()),
            |previous| Arc::clone(&previous.gate.total),
        ),
        total_cap: limits.concurrent.total,
        sources,
    }
}

/// The keys of `previous` stay, if the terms do.
fn tickets(
    policy: &policy::Listener,
    previous: Option<&Listener>,
) -> Result<Option<Arc<TicketKeys>>, TlsError> {
    let kept = previous.and_then(|previous| previous.tickets.as_ref());
    let keys = policy.tls.tickets.map(|terms| TicketKeys::kept(terms, kept));
    keys.transpose().map_err(|source| TlsError::Tickets { source })
}

/// The buckets of `previous` stay, if the limit does.
fn bandwidth(limits: &policy::ListenerLimits, previous: Option<&Listener>) -> Option<Arc<Bandwidth>> {
    let kept = previous
        .and_then(|previous| previous.bandwidth.as_ref())
        .filter(|kept| kept.is(limits.bandwidth, limits.max_sources));
    let new = || Bandwidth::new(limits.bandwidth, limits.max_sources, Instant::now());
    kept.map_or_else(new, |kept| Some(Arc::clone(kept)))
}

/// What `previous` remembers stays, if the terms do.
fn escalation(
    policy: &policy::Listener,
    previous: Option<&Listener>,
    metrics: &ListenerMetrics,
    bans: &BanQueue,
) -> Option<Arc<Escalation>> {
    // What is only tried out must not shut anybody out.
    let terms = policy.limits.ban.filter(|_| !policy.limits.observe)?;
    let kept = previous
        .and_then(|previous| previous.escalation.as_ref())
        .filter(|kept| kept.terms() == terms);
    let new = || Escalation::new(&policy.name, terms, bans.clone(), metrics.clone(), Instant::now());
    Some(kept.map_or_else(new, Arc::clone))
}

/// What works, and will not do what the operator wants.
fn warn_about(policy: &policy::Listener, certificates: &[Certificate]) {
    let listener = policy.name.as_str();
    for route in policy.routes.iter().filter(|route| !route.passthrough) {
        let sni = &route.sni;
        let covered = |name: &SniPattern| match sni {
            SniPattern::Any => true,
            SniPattern::Exact(exact) => name.matches(Some(exact)),
            SniPattern::Wildcard(_) => name == sni,
        };
        if *sni != SniPattern::Any && !certificates.iter().any(|pair| pair.names.iter().any(covered)) {
            tracing::warn!(
                listener,
                ?sni,
                "no certificate holds the name of this route: clients will not trust it"
            );
        }
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    for pair in certificates {
        if u64::try_from(pair.not_after).is_ok_and(|not_after| not_after < now) {
            tracing::warn!(listener, certificate = %pair.file.display(), "this certificate has expired");
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Why a listener cannot be served as the policy asks. The operator is at fault.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Bind {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Client certificates cannot be judged.
    #[error(transparent)]
    ClientAuth(#[from] ClientAuthError),
    /// The TLS settings do not work.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A route names an upstream that does not exist.
    #[error("upstream `{upstream}` does not exist")]
    UnknownUpstream {
        /// The name.
        upstream: String,
    },
}
