//! The edge as a running service: policy file → load → listen → watch → reload → drain.
//!
//! command line → **service** → `Edge`. Owns the files (policy, certificates), the metrics endpoint and the reload signal of the
//! edge; must not know how a connection is served.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ravelin_rules::Policy;
use ravelin_rules::policy::{self, ClientAuth};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::task::spawn_blocking;

use super::descriptors;
use super::edge::{Edge, EdgeError, Kept};
use super::escalation::BanQueue;
use super::inherited::Inherited;
use crate::metrics::export::{Exposition, Server, Sources, serve, serve_on};
use crate::metrics::registry::EdgeMetrics;
use crate::watch::{Seen, Watch, policy_files};

/// Reads a policy file; the error is the text the operator sees (a rendered report).
pub type LoadPolicy = Arc<dyn Fn(&Path) -> Result<Policy, String> + Send + Sync>;

/// What the command line tells the edge.
pub struct EdgeOptions {
    /// The policy file.
    pub policy: PathBuf,
    /// How it is read.
    pub load: LoadPolicy,
    /// The filter's metrics, asked for at each scrape and served together with the edge's own.
    pub filter: Option<Arc<dyn Exposition>>,
    /// Where wishes for bans go: to somebody who may talk to the filter.
    pub bans: BanQueue,
    /// Sockets that somebody else has opened, to be used where the policy listens on their address.
    pub inherited: Inherited,
}

/// The running edge: listeners are bound and `/metrics` answers when [`EdgeService::start`] returns.
pub struct EdgeService {
    handle: EdgeHandle,
    watch: Watch,
    hangup: Signal,
}

/// Everything that listens, once more. No reload meanwhile: what is handed over stays what is served.
pub struct HandOver {
    /// The sockets.
    pub sockets: Vec<OwnedFd>,
    /// Reloads wait for it.
    pub no_reload: OwnedMutexGuard<()>,
}

/// Reloads a running edge from elsewhere, and tells where it listens. Cheap to clone.
#[derive(Clone)]
pub struct EdgeHandle(Arc<Running>);

struct Running {
    policy: PathBuf,
    load: LoadPolicy,
    filter: Option<Arc<dyn Exposition>>,
    metrics: Arc<EdgeMetrics>,
    edge: Arc<Edge>,
    /// One reload at a time.
    reloading: Arc<tokio::sync::Mutex<()>>,
    /// A policy was loaded: other files may be its own now.
    reloaded: Notify,
    served: Mutex<Served>,
}

/// What the last good policy left running besides the listeners.
#[derive(Default)]
struct Served {
    endpoint: Option<Server>,
    asked_endpoint: Option<SocketAddr>,
    /// The files it was read from, as they were before that.
    files: Seen,
    /// Why the last reload failed.
    failure: Option<String>,
    /// How long connections may go on after a stop.
    drain: Duration,
    stopping: bool,
}

impl EdgeService {
    /// Loads the policy, binds every listener and the metrics endpoint, and starts to watch the files. Must run inside a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// When the policy does not load, a certificate cannot be used or an address cannot be bound; nothing is left listening.
    pub async fn start(options: EdgeOptions) -> Result<Self, ServiceError> {
        let EdgeOptions {
            policy,
            load,
            filter,
            bans,
            inherited,
        } = options;
        // From here on, not from `run`: a signal nobody listens for ends the process.
        let hangup = signal(SignalKind::hangup()).map_err(|source| ServiceError::Signal { source })?;
        descriptors::raise();
        let metrics = Arc::new(EdgeMetrics::new().map_err(|source| ServiceError::Metrics { source })?);
        let edge =
            Edge::new(Arc::clone(&metrics), bans).map_err(|source| ServiceError::Workers { source })?;
        let running = Running {
            policy,
            load,
            filter,
            edge: Arc::new(edge),
            metrics,
            reloading: Arc::default(),
            reloaded: Notify::new(),
            served: Mutex::new(Served::default()),
        };
        let handle = EdgeHandle(Arc::new(running));
        handle.0.edge.inherit(inherited);
        let kept = handle.reload().await?;
        debug_assert!(kept.is_empty(), "at the start there is no last good pair");
        handle.0.edge.close_unclaimed();
        let mut watch = Watch::new();
        watch.replace(handle.0.served().files.clone());
        Ok(Self {
            handle,
            watch,
            hangup,
        })
    }

    /// A handle for reloads that do not come from a signal or a changed file.
    #[must_use]
    pub fn handle(&self) -> EdgeHandle {
        self.handle.clone()
    }

    /// Serves until `stop` is ready, reloading on `SIGHUP` and when a file changes; then stops accepting and drains.
    /// Returns how many connections had to be cut.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> usize {
        let running = &self.handle.0;
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = running.reloaded.notified() => {
                    self.watch.replace(running.served().files.clone());
                    continue;
                }
                _ = self.hangup.recv() => tracing::info!("reload asked for by SIGHUP"),
                () = self.watch.changed() => tracing::info!("reload because a file changed"),
            }
            // The error is already told; the last good policy goes on serving.
            drop(self.handle.reload().await);
        }
        running.served().stopping = true;
        let drain = running.served().drain;
        let cut = running.edge.shutdown(drain).await;
        if cut > 0 {
            tracing::warn!(cut, "connections cut: they did not end in time");
        }
        cut
    }
}

impl EdgeHandle {
    /// Reads the policy and its files again and swaps them in, all or nothing. Only a pair of certificate and key that cannot be read does
    /// not stop the rest, if it could be read before: that one goes on, and is named in the answer.
    ///
    /// # Errors
    ///
    /// When anything else does not load; the last good policy goes on serving.
    pub async fn reload(&self) -> Result<Vec<Kept>, ServiceError> {
        let running = &self.0;
        let _alone = running.reloading.lock().await;
        let outcome = Running::reload(running).await;
        let failure = match &outcome {
            Ok(kept) if kept.is_empty() => None,
            Ok(kept) => Some(lines(kept)),
            Err(error) => Some(error.chain()),
        };
        running.metrics.reloaded(failure.is_none());
        let policy = running.policy.display();
        match (&failure, &outcome) {
            (None, _) => tracing::info!(%policy, "policy serves"),
            (Some(failure), Ok(_)) => {
                tracing::error!(%policy, failure, "policy serves, with certificates that were read earlier");
            }
            (Some(failure), Err(_)) => {
                tracing::error!(%policy, failure, "policy refused; what served before goes on serving");
            }
        }
        running.served().failure = failure;
        outcome
    }

    /// What another process needs to serve in place of this one. Waits for a reload that runs.
    ///
    /// # Errors
    ///
    /// When this edge is stopping already, or is out of descriptors.
    pub async fn hand_over(&self) -> io::Result<HandOver> {
        let no_reload = Arc::clone(&self.0.reloading).lock_owned().await;
        let served = self.0.served();
        if served.stopping {
            return Err(io::Error::other("this edge is stopping"));
        }
        let mut sockets = self.0.edge.sockets()?;
        if let Some(endpoint) = &served.endpoint {
            sockets.extend(endpoint.socket()?);
        }
        Ok(HandOver { sockets, no_reload })
    }

    /// Another process answers for this one from now on: the metrics endpoint is its.
    pub fn handed_over(&self) {
        self.0.served().endpoint = None;
    }

    /// How long connections may go on after a stop.
    #[must_use]
    pub fn drain(&self) -> Duration {
        self.0.served().drain
    }

    /// How many connections are held now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.edge.open()
    }

    /// The addresses of the listeners: `(listener, address)`.
    #[must_use]
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.0.edge.addresses()
    }

    /// Why the last reload failed; `None` when it did not.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.0.served().failure.clone()
    }

    /// The address `/metrics` is served on, if the policy asks for it.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.0.served().endpoint.as_ref().map(Server::address)
    }
}

impl Running {
    async fn reload(self: &Arc<Self>) -> Result<Vec<Kept>, ServiceError> {
        let loading = Arc::clone(self);
        let policy = blocking(move || (loading.load)(&loading.policy)).await?;
        let policy = policy.map_err(|report| ServiceError::Policy { report })?;
        descriptors::warn_if_short(&policy);
        let files = Seen::now(watched(&self.policy, &policy));

        // What can fail comes first: the endpoint is bound, but dropped again if a listener cannot be served.
        let bind = policy.metrics;
        let endpoint = match bind {
            Some(address) if self.served().asked_endpoint != bind => {
                let sources = Self::sources(self);
                let inherited = self.edge.claim(address).and_then(|mut sockets| sockets.pop());
                let server = match inherited {
                    Some(socket) => {
                        TcpListener::from_std(socket).and_then(|socket| serve_on(socket, sources))
                    }
                    None => serve(address, sources).await,
                };
                Some(server.map_err(|source| ServiceError::MetricsBind { address, source })?)
            }
            _ => None,
        };
        let edge = Arc::clone(&self.edge);
        let drain = policy.edge.drain_timeout;
        let kept = blocking(move || edge.reload(&policy)).await??;

        let mut served = self.served();
        if served.asked_endpoint != bind {
            (served.endpoint, served.asked_endpoint) = (endpoint, bind);
        }
        served.files = files;
        served.drain = drain;
        self.reloaded.notify_one();
        Ok(kept)
    }

    fn sources(self: &Arc<Self>) -> Sources {
        let edge: Arc<dyn Exposition> = Arc::<Edge>::clone(&self.edge);
        // Weak: the endpoint is owned by what it tells of.
        let (ready, status) = (Arc::downgrade(self), Arc::downgrade(self));
        Sources {
            metrics: std::iter::once(edge).chain(self.filter.clone()).collect(),
            ready: Arc::new(move || match ready.upgrade() {
                Some(running) if !running.served().stopping => Ok(()),
                _ => Err("stopping".to_owned()),
            }),
            status: Arc::new(move || {
                status
                    .upgrade()
                    .map_or_else(String::new, |running| running.status())
            }),
        }
    }

    /// What a person sees at `/`. Tells nothing a stranger could use: no paths, no upstreams, no addresses of clients.
    fn status(&self) -> String {
        let mut text = format!("ravelin edge {}\n\n", env!("CARGO_PKG_VERSION"));
        let mut addresses = self.edge.addresses();
        addresses.sort();
        for (listener, address) in addresses {
            text.push_str(&format!("listener {listener} on {address}\n"));
        }
        let failed = self.served().failure.is_some();
        text.push_str(if failed {
            "\nlast reload: failed in part or whole, see the log\n"
        } else {
            "\nlast reload: ok\n"
        });
        text.push_str("\n/metrics  /healthz  /readyz\n");
        text
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        // Every change is a single assignment.
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lines(kept: &[Kept]) -> String {
    let errors: Vec<&str> = kept.iter().map(|kept| kept.error.as_str()).collect();
    errors.join("\n")
}

/// Every file whose change is a reload.
fn watched(main: &Path, policy: &Policy) -> Vec<PathBuf> {
    let mut files = policy_files(main, policy);
    for tls in policy.listeners.iter().map(|listener| &listener.tls) {
        for pair in &tls.certificates {
            files.extend([pair.cert.clone(), pair.key.clone()]);
            files.extend(pair.ocsp.clone());
        }
        let client_auth = tls.client_auth.iter().flat_map(ClientAuth::files);
        files.extend(client_auth.map(Path::to_owned));
    }
    files.extend(policy.upstreams.iter().flat_map(policy::Upstream::files).cloned());
    files
}

/// Reading files must not hold up the connections that share the thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ServiceError> {
    spawn_blocking(work)
        .await
        .map_err(|source| ServiceError::Panicked { source })
}

/// Why the edge could not start or reload.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A listener cannot be served.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// The metrics do not fit together.
    #[error("this is a bug in ravelin, please report: the metrics cannot be registered")]
    Metrics {
        /// What the library said.
        source: prometheus::Error,
    },
    /// The address of the metrics endpoint cannot be bound.
    #[error("cannot serve metrics on `{address}`")]
    MetricsBind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Loading panicked.
    #[error("this is a bug in ravelin, please report: loading the policy panicked")]
    Panicked {
        /// Where.
        source: tokio::task::JoinError,
    },
    /// The policy did not load; the report says why.
    #[error("{report}")]
    Policy {
        /// The rendered diagnostics.
        report: String,
    },
    /// `SIGHUP` cannot be listened for.
    #[error("cannot listen for SIGHUP")]
    Signal {
        /// What the system said.
        source: io::Error,
    },
    /// No threads.
    #[error("cannot start the threads that serve connections")]
    Workers {
        /// What the system said.
        source: io::Error,
    },
}

impl ServiceError {
    /// The error and its causes on one line: `cause: cause`.
    #[must_use]
    pub fn chain(&self) -> String {
        crate::causes::chain(self)
    }
}
