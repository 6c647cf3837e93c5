//! All listeners of a policy, running: started together, replaced together, stopped together.
//!
//! service → **edge** → listen, accept. A reload first builds everything that can fail (certificates, sockets), then swaps, which
//! cannot: no listener is ever half old and half new, and no live connection notices.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use ravelin_rules::Policy;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::accept::accept;
use super::escalation::BanQueue;
use super::inherited::Inherited;
use super::listen::{adopt, listen};
use super::listener::{Listener, ListenerError};
use super::live::Live;
use super::tls::ConnectorError;
use super::upstream::{Upstream, Watching};
use super::workers::Workers;
use crate::causes::chain;
use crate::metrics::{EdgeMetrics, Exposition};

/// The running listeners, and the threads that serve them.
pub struct Edge {
    metrics: Arc<EdgeMetrics>,
    provider: Arc<CryptoProvider>,
    bans: BanQueue,
    live: Live,
    workers: Workers,
    /// What the first load finds already open.
    inherited: Mutex<Inherited>,
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
    /// Owned by the loops: who else held one would keep the address open, with nobody to accept.
    sockets: Vec<Weak<TcpListener>>,
    loops: Vec<JoinHandle<()>>,
}

/// A pair of certificate and key that a reload could not read: the one that was served before goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The listener.
    pub listener: String,
    /// What is wrong with the pair, cause after cause.
    pub error: String,
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
    ///
    /// # Errors
    ///
    /// When there can be no threads for it.
    pub fn new(metrics: Arc<EdgeMetrics>, bans: BanQueue) -> io::Result<Self> {
        Ok(Self {
            workers: Workers::start()?,
            metrics,
            bans,
            provider: Arc::new(aws_lc_rs::default_provider()),
            live: Live::new(),
            inherited: Mutex::default(),
            reloading: Mutex::new(()),
            state: Mutex::new(State::default()),
        })
    }

    /// Sockets to be used instead of new ones where a policy listens on their address.
    pub fn inherit(&self, sockets: Inherited) {
        *lock(&self.inherited) = sockets;
    }

    /// Takes those on `address`, for something that is no listener.
    pub(super) fn claim(&self, address: SocketAddr) -> Option<Vec<StdListener>> {
        lock(&self.inherited).take(address)
    }

    /// Everything that the policy has a use for is taken: the rest is closed.
    pub(super) fn close_unclaimed(&self) {
        lock(&self.inherited).close();
    }

    /// Replaces everything by what `policy` says, all or nothing, but for pairs of certificate and key that cannot be read: the last good
    /// ones go on, and are named. Live connections go on as they began, unless the address lists of their listener would not let them
    /// in any more; a listener whose limits are unchanged keeps what it knows of its sources. Reads files: not for a thread that serves
    /// connections.
    ///
    /// # Errors
    ///
    /// When a listener cannot be served as the policy asks; then nothing changes.
    pub fn reload(&self, policy: &Policy) -> Result<Vec<Kept>, EdgeError> {
        let _alone = lock(&self.reloading);
        match self.prepare(policy) {
            Ok(prepared) => Ok(self.commit(prepared)),
            Err(error) => {
                self.forget_unserved(policy);
                Err(error)
            }
        }
    }

    /// The same sockets once more, for another process. The queues of the kernel are the sockets', not a process's.
    ///
    /// # Errors
    ///
    /// Out of descriptors.
    pub fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        let state = self.state();
        let all = state.endpoints.values().flat_map(|endpoint| &endpoint.sockets);
        all.filter_map(Weak::upgrade)
            .map(|socket| socket.as_fd().try_clone_to_owned())
            .collect()
    }

    /// How many connections are held now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.live.open()
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
        let access = policy.access_log;
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
            let mut listener = listener.map_err(failed)?;
            listener.access = access;
            let listener = Arc::new(listener);
            for address in &policy.bind {
                let endpoint = Endpoint::of(&policy.name, *address);
                let bind = || {
                    let sockets = match self.claim(*address) {
                        Some(sockets) => adopt(sockets, self.workers.handles()),
                        None => listen(*address, self.workers.handles()),
                    };
                    sockets.map_err(|source| ListenerError::Bind {
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

    fn commit(&self, prepared: Prepared) -> Vec<Kept> {
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
                    state.endpoints.extend(
                        Accepting::start(listener, sockets, self.workers.handles(), &self.live)
                            .map(|new| (endpoint, new)),
                    );
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
        for listener in listeners.values() {
            listener.present.set(listener);
        }
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
                    .map(move |(file, leaf, staple)| ((name.clone(), file), (leaf, staple)))
            };
            listeners.values().flat_map(of).collect()
        };
        let new = expiries(&listeners);
        for ((listener, file), (leaf, staple)) in &new {
            self.metrics.certificate_expires(listener, file, *leaf, *staple);
        }
        for ((listener, file), _) in expiries(&state.listeners) {
            if !new.contains_key(&(listener.clone(), file.clone())) {
                self.metrics.forget_certificate(&listener, &file);
            }
        }
        // The checks of upstreams that are gone, or are others now, end here: nothing of theirs is left to run.
        state.watching = upstreams.values().filter_map(Upstream::watch).collect();
        let kept = listeners.values().flat_map(|listener| kept(listener)).collect();
        (state.listeners, state.upstreams) = (listeners, upstreams);
        drop(state);
        // Last: who is asked is there.
        self.live.look_again();
        kept
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
    /// One loop for each socket, on the worker that it was made for: they take turns. `None` when there is no socket, or it broke before it was used.
    fn start(
        listener: Arc<Listener>,
        sockets: Vec<TcpListener>,
        workers: &[Handle],
        live: &Live,
    ) -> Option<Self> {
        let address = sockets.first()?.local_addr().ok()?;
        let listener = Arc::new(ArcSwap::new(listener));
        let stop = watch::Sender::new(false);
        let sockets: Vec<_> = sockets.into_iter().map(Arc::new).collect();
        let weak = sockets.iter().map(Arc::downgrade).collect();
        let loops = sockets
            .into_iter()
            .zip(workers.iter().cycle())
            .map(|(socket, worker)| {
                worker.spawn(accept(
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
            sockets: weak,
            loops,
        })
    }
}

fn kept(listener: &Listener) -> impl Iterator<Item = Kept> {
    listener.kept.iter().map(|pair| Kept {
        listener: listener.name.clone(),
        error: format!(
            "listener `{}`: the last good pair of `{}` goes on: {}",
            listener.name,
            pair.file.display(),
            chain(&pair.error)
        ),
    })
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
