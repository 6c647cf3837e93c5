//! All listeners of a policy, running: started together, replaced together, stopped together.
//!
//! service → **edge** → listen, accept. A reload first builds everything that can fail (certificates, sockets), then swaps, which
//! cannot: no listener is ever half old and half new, and no live connection notices.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ravelin_rules::Policy;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::accept::accept;
use super::escalation::BanQueue;
use super::listen::listen;
use super::listener::{Listener, ListenerError};
use super::live::Live;
use super::tls::ConnectorError;
use super::upstream::{Upstream, Watching};
use crate::metrics::{EdgeMetrics, Exposition};

/// The running listeners. Must be started and reloaded inside a tokio runtime.
pub struct Edge {
    metrics: Arc<EdgeMetrics>,
    provider: Arc<CryptoProvider>,
    bans: BanQueue,
    live: Live,
    /// Held by a reload from its first look at the state to its last change.
    reloading: Mutex<()>,
    /// Never held while files are read: a scrape waits for it.
    state: Mutex<State>,
}

/// What is served now.
#[derive(Default)]
struct State {
    listeners: HashMap<String, Arc<Listener>>,
    upstreams: HashMap<String, Arc<Upstream>>,
    endpoints: HashMap<Endpoint, Accepting>,
    /// The health checks of the upstreams.
    watching: Vec<Watching>,
}

/// An address as the policy writes it. Port 0 is a new port for each listener; any other belongs to whoever names it, so that an
/// address can move from one listener to another without being unbound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Endpoint {
    Chosen(SocketAddr),
    Free(String, SocketAddr),
}

/// The accept loops of one address.
struct Accepting {
    listener: Arc<ArcSwap<Listener>>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    loops: Vec<JoinHandle<()>>,
}

/// Everything of a policy that could have failed.
struct Prepared {
    listeners: HashMap<String, Arc<Listener>>,
    upstreams: HashMap<String, Arc<Upstream>>,
    /// Who serves each endpoint, and the sockets of those that are not listened on yet.
    endpoints: Vec<(Endpoint, Arc<Listener>, Option<Vec<TcpListener>>)>,
}

impl Edge {
    /// An edge that listens to nothing yet. Whom it wants banned it puts into `bans`.
    #[must_use]
    pub fn new(metrics: Arc<EdgeMetrics>, bans: BanQueue) -> Self {
        Self {
            metrics,
            bans,
            provider: Arc::new(aws_lc_rs::default_provider()),
            live: Live::new(),
            reloading: Mutex::new(()),
            state: Mutex::new(State::default()),
        }
    }

    /// Binds every listener of `policy` and serves.
    ///
    /// # Errors
    ///
    /// When a listener cannot be served as the policy asks; nothing is left listening.
    pub fn start(policy: &Policy, metrics: Arc<EdgeMetrics>, bans: BanQueue) -> Result<Self, EdgeError> {
        let edge = Self::new(metrics, bans);
        edge.reload(policy)?;
        Ok(edge)
    }

    /// Replaces everything by what `policy` says, all or nothing. Live connections go on as they began; a listener whose limits
    /// are unchanged keeps what it knows of its sources. Reads files: not for a thread that serves connections.
    ///
    /// # Errors
    ///
    /// When a listener cannot be served as the policy asks; then nothing changes.
    pub fn reload(&self, policy: &Policy) -> Result<(), EdgeError> {
        let _alone = lock(&self.reloading);
        let prepared = self.prepare(policy);
        match prepared {
            Ok(prepared) => self.commit(prepared),
            Err(error) => {
                self.forget_unserved(policy);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The addresses listened on: `(listener, address)`, with the ports the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let state = self.state();
        state
            .endpoints
            .values()
            .map(|accepting| (accepting.listener.load().name.clone(), accepting.address))
            .collect()
    }

    /// Stops accepting, waits for the connections at most for `deadline`, cuts the rest and says how many those were.
    pub async fn shutdown(&self, deadline: Duration) -> usize {
        let endpoints = {
            let mut state = self.state();
            state.watching.clear();
            std::mem::take(&mut state.endpoints)
        };
        for accepting in endpoints.values() {
            accepting.stop.send_replace(true);
        }
        for accepting in endpoints.into_values() {
            for accept_loop in accepting.loops {
                // A loop does not panic; if one did there is nothing left to stop.
                drop(accept_loop.await);
            }
        }
        self.live.drain(deadline).await
    }

    fn prepare(&self, policy: &Policy) -> Result<Prepared, EdgeError> {
        let (old_listeners, old_upstreams, listened) = {
            let state = self.state();
            let listened: HashSet<_> = state.endpoints.keys().cloned().collect();
            (state.listeners.clone(), state.upstreams.clone(), listened)
        };
        let upstreams: HashMap<_, _> = policy
            .upstreams
            .iter()
            .map(|upstream| {
                let previous = old_upstreams.get(&upstream.name).map(Arc::as_ref);
                let counters = self.metrics.upstream(&upstream.name);
                match Upstream::new(upstream, previous, counters, &self.provider) {
                    Ok(made) => Ok((upstream.name.clone(), made)),
                    Err(source) => Err(EdgeError::Upstream {
                        upstream: upstream.name.clone(),
                        source: Box::new(source),
                    }),
                }
            })
            .collect::<Result<_, _>>()?;
        let mut listeners = HashMap::new();
        let mut endpoints = Vec::new();
        for policy in &policy.listeners {
            let failed = |source| EdgeError::Listener {
                listener: policy.name.clone(),
                source: Box::new(source),
            };
            let previous = old_listeners.get(&policy.name).map(Arc::as_ref);
            let upstream = |name: &str| upstreams.get(name).map(Arc::clone);
            let listener = Listener::new(
                policy,
                upstream,
                previous,
                &self.provider,
                &self.metrics,
                &self.bans,
            );
            let listener = Arc::new(listener.map_err(failed)?);
            for address in &policy.bind {
                let endpoint = Endpoint::of(&policy.name, *address);
                let bind = || {
                    listen(*address, cores()).map_err(|source| ListenerError::Bind {
                        address: *address,
                        source,
                    })
                };
                let sockets = if listened.contains(&endpoint) {
                    None
                } else {
                    Some(bind().map_err(failed)?)
                };
                endpoints.push((endpoint, Arc::clone(&listener), sockets));
            }
            listeners.insert(policy.name.clone(), listener);
        }
        Ok(Prepared {
            listeners,
            upstreams,
            endpoints,
        })
    }

    fn commit(&self, prepared: Prepared) {
        let mut state = self.state();
        let Prepared {
            listeners,
            upstreams,
            endpoints,
        } = prepared;
        let mut wanted = HashSet::new();
        for (endpoint, listener, sockets) in endpoints {
            wanted.insert(endpoint.clone());
            match (state.endpoints.get(&endpoint), sockets) {
                (Some(accepting), _) => accepting.listener.store(listener),
                (None, Some(sockets)) => {
                    state
                        .endpoints
                        .extend(Accepting::start(listener, sockets, &self.live).map(|new| (endpoint, new)));
                }
                (None, None) => {}
            }
        }
        state.endpoints.retain(|endpoint, accepting| {
            let keep = wanted.contains(endpoint);
            if !keep {
                accepting.stop.send_replace(true);
            }
            keep
        });
        for (name, old) in &state.listeners {
            old.retire(listeners.get(name).map(Arc::as_ref));
        }
        for gone in state
            .listeners
            .keys()
            .filter(|name| !listeners.contains_key(*name))
        {
            self.metrics.forget_listener(gone);
        }
        for gone in state
            .upstreams
            .keys()
            .filter(|name| !upstreams.contains_key(*name))
        {
            self.metrics.forget_upstream(gone);
        }
        let expiries = |listeners: &HashMap<String, Arc<Listener>>| -> HashMap<_, _> {
            let of = |listener: &Arc<Listener>| {
                let name = listener.name.clone();
                listener
                    .expiries
                    .clone()
                    .into_iter()
                    .map(move |(file, at)| ((name.clone(), file), at))
            };
            listeners.values().flat_map(of).collect()
        };
        let new = expiries(&listeners);
        for ((listener, file), at) in &new {
            self.metrics.certificate_expires(listener, file, *at);
        }
        for ((listener, file), _) in expiries(&state.listeners) {
            if !new.contains_key(&(listener.clone(), file.clone())) {
                self.metrics.forget_certificate(&listener, &file);
            }
        }
        // The checks of upstreams that are gone, or are others now, end here: nothing of theirs is left to run.
        state.watching = upstreams.values().filter_map(Upstream::watch).collect();
        (state.listeners, state.upstreams) = (listeners, upstreams);
    }

    /// The series of listeners and upstreams that a failed reload would have brought.
    fn forget_unserved(&self, policy: &Policy) {
        let state = self.state();
        for listener in policy
            .listeners
            .iter()
            .filter(|listener| !state.listeners.contains_key(&listener.name))
        {
            self.metrics.forget_listener(&listener.name);
        }
        for upstream in policy
            .upstreams
            .iter()
            .filter(|upstream| !state.upstreams.contains_key(&upstream.name))
        {
            self.metrics.forget_upstream(&upstream.name);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// What is behind each lock changes in steps that cannot panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Exposition for Edge {
    fn text(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>> {
        let state = self.state();
        for listener in state.listeners.values() {
            listener.observe();
        }
        // Held until the page is written: two scrapes at once would take each other's series away.
        self.metrics.forget_servers();
        for upstream in state.upstreams.values() {
            upstream.observe();
        }
        Box::pin(std::future::ready(self.metrics.text()))
    }
}

impl Endpoint {
    fn of(listener: &str, address: SocketAddr) -> Self {
        if address.port() == 0 {
            Self::Free(listener.to_owned(), address)
        } else {
            Self::Chosen(address)
        }
    }
}

impl Accepting {
    /// One loop for each socket. `None` when there is no socket, or it broke before it was used.
    fn start(listener: Arc<Listener>, sockets: Vec<TcpListener>, live: &Live) -> Option<Self> {
        let address = sockets.first()?.local_addr().ok()?;
        let listener = Arc::new(ArcSwap::new(listener));
        let stop = watch::Sender::new(false);
        let loops = sockets
            .into_iter()
            .map(|socket| {
                tokio::spawn(accept(
                    socket,
                    Arc::clone(&listener),
                    live.clone(),
                    stop.subscribe(),
                ))
            })
            .collect();
        Some(Self {
            listener,
            address,
            stop,
            loops,
        })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Why the edge cannot serve a policy.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A listener cannot be served.
    #[error("listener `{listener}` cannot be served")]
    Listener {
        /// Its name.
        listener: String,
        /// What went wrong.
        source: Box<ListenerError>,
    },
    /// The servers of an upstream cannot be reached as the policy asks.
    #[error("upstream `{upstream}` cannot be used")]
    Upstream {
        /// Its name.
        upstream: String,
        /// What went wrong.
        source: Box<ConnectorError>,
    },
}
