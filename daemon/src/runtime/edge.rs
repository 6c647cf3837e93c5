//! `ravelin edge`: gives up rights, then serves.
//!
//! control socket → rights dropped → policy → **`EdgeService`** → stop. Everything before the async runtime runs in the only
//! thread there is, so that what is given up is given up for all.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use ravelin_rules::policy::{ClientAuth, LogFormat, Upstream};
use ravelin_rules::{Policy, load};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::activation::ActivationError;
use super::logging::LoggingError;
use super::sandbox::SandboxError;
use super::shutdown::StopSignals;
use super::take_over::{Means, means};
use super::{ban_requests, logging, notify, sandbox};
use crate::causes::chain;
use crate::control::handover::{HandOverError, Offer};
use crate::control::peer::{Access, Peer, Standing};
use crate::control::protocol::{LastReload, Request, Status};
use crate::control::server::{BindError, Handler, SharedSocket};
use crate::control::{Action, Answer, client};
use crate::metrics::export::Exposition;
use crate::settings::Settings;
use crate::transport::{
    BanQueue, EdgeHandle, EdgeOptions, EdgeService, HandOver, InheritedError, ServiceError,
};

/// How an edge is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// The process that must not be outlived.
    pub parent: Option<u32>,
    /// Whether to take over from an edge that runs already, if one does.
    pub take_over: bool,
}

/// Runs the edge until a signal ends it, or another edge takes over. Returns how many connections had to be cut.
///
/// # Errors
///
/// When it cannot start, or would hold rights that it must not have. An edge that was to take over leaves the running one as it was.
pub fn run(settings: &Settings, start: Start) -> Result<usize, EdgeError> {
    // Before the rights are gone: its folder may belong to root.
    let means = means(&settings.edge_socket, start.take_over)?;
    sandbox::drop_root()?;
    // After it: the kernel forgets this setting when the user changes.
    if let Some(parent) = start.parent {
        follow_parent(parent)?;
    }
    sandbox::verify()?;
    let loaded = load(&settings.config);
    let format = loaded
        .as_ref()
        .map_or_else(|_| LogFormat::default(), |loaded| loaded.policy.log);
    logging::start(&settings.log_level, format)?;
    let policy = match loaded {
        Ok(loaded) => loaded.policy,
        Err(report) => {
            return Err(EdgeError::Policy {
                diagnostics: report.render(),
            });
        }
    };
    let landlock = sandbox::confine(&readable(&settings.config, &policy))?;
    tracing::info!(landlock, "confined");
    // Connections have threads of their own; here are reloads, the control socket and metrics.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(EdgeError::Runtime)?;
    runtime.block_on(serve(settings, means))
}

/// Why an edge does not start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Sockets of the service manager.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// The control socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The running edge.
    #[error(transparent)]
    HandOver(#[from] HandOverError),
    /// Sockets that somebody else has opened.
    #[error(transparent)]
    Inherited(#[from] InheritedError),
    /// The log level.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The running edge has handed over everything but this.
    #[error(
        "this is a bug in ravelin, please report: the running edge has not handed over its control socket"
    )]
    NoControlSocket,
    /// The parent is gone, or cannot be followed.
    #[error("the process that started this edge is gone")]
    Orphan,
    /// The policy is refused.
    #[error("{diagnostics}")]
    Policy {
        /// The rendered report.
        diagnostics: String,
    },
    /// The process's own machinery.
    #[error("cannot serve")]
    Runtime(#[source] io::Error),
    /// Rights.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Listeners, certificates.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

async fn serve(settings: &Settings, means: Means) -> Result<usize, EdgeError> {
    let Means {
        mut control,
        inherited,
        predecessor,
    } = means;
    let mut stop = StopSignals::listen().map_err(EdgeError::Runtime)?;
    let (bans, wishes) = BanQueue::bounded();
    let service = EdgeService::start(EdgeOptions {
        policy: settings.config.clone(),
        load: Arc::new(|path| match load(path) {
            Ok(loaded) => Ok(loaded.policy),
            Err(report) => Err(report.render()),
        }),
        filter: Some(Arc::new(FilterMetrics {
            socket: settings.socket.clone(),
        })),
        bans,
        inherited,
    })
    .await?;
    if let Some(predecessor) = predecessor {
        // It waits for this: nothing else is served by it meanwhile that this process could miss.
        predecessor.taken()?;
        tracing::info!("took over from the edge that ran before");
    }
    let carrying = tokio::spawn(ban_requests::carry(settings.socket.clone(), wishes));
    let handle = service.handle();
    let relieved = Arc::new(Notify::new());
    let answers = Arc::new(EdgeAnswers {
        handle: handle.clone(),
        policy: settings.config.display().to_string(),
        control: control.share().map(Arc::new),
        relieved: Arc::clone(&relieved),
    });
    let control = tokio::spawn(async move { control.serve(Access::to_edge(), answers).await });
    notify::ready("serving");
    let service = service.run(async {
        let reason = tokio::select! {
            signal = stop.received() => signal,
            () = relieved.notified() => "another edge serves",
            () = notify::heartbeat() => "",
        };
        // An edge that drains must not be in the way of the one that is started in its place.
        control.abort();
        let drain = handle.drain();
        tracing::info!(
            reason,
            connections = handle.open(),
            ?drain,
            "stopping; connections drain"
        );
        notify::stopping(drain + AFTER_DRAIN);
    });
    let cut = service.await;
    carrying.abort();
    Ok(cut)
}

/// What a running edge answers on its control socket.
struct EdgeAnswers {
    handle: EdgeHandle,
    policy: String,
    control: Option<Arc<SharedSocket>>,
    /// Another edge serves.
    relieved: Arc<Notify>,
}

impl Handler for EdgeAnswers {
    async fn handle(&self, request: Request, _: Peer, _: Standing) -> Answer {
        let action = request.action;
        match action {
            Action::Reload => match self.handle.reload().await {
                Ok(kept) => Answer::Reloaded {
                    generation: None,
                    warnings: String::new(),
                    kept: kept.into_iter().map(|kept| kept.error).collect(),
                },
                Err(error) => Answer::Refused {
                    diagnostics: error.chain(),
                },
            },
            Action::Status => Answer::Status(Box::new(Status {
                half: "edge".to_owned(),
                release: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                policy: self.policy.clone(),
                last_reload: self.last_reload(),
                filter: None,
            })),
            Action::Ban
            | Action::Bans
            | Action::Detach
            | Action::HandOver
            | Action::Metrics
            | Action::Rules
            | Action::Unban
            | Action::Upgrade => Answer::Invalid {
                error: format!("the edge has no `{action}`: ask the filter, or its `/metrics`"),
            },
        }
    }

    async fn offer(&self) -> Result<Offer, String> {
        let control = self
            .control
            .clone()
            .ok_or("the control socket cannot be shared")?;
        let handed = self.handle.hand_over().await;
        let HandOver { sockets, no_reload } = handed.map_err(|error| error.to_string())?;
        let mut descriptors = vec![control.descriptor().map_err(|error| error.to_string())?];
        descriptors.extend(sockets);
        let (handle, relieved) = (self.handle.clone(), Arc::clone(&self.relieved));
        Ok(Offer {
            descriptors,
            taken: Box::new(move || {
                control.handed_over();
                handle.handed_over();
                relieved.notify_one();
            }),
            until_the_end: Box::new(no_reload),
        })
    }
}

impl EdgeAnswers {
    fn last_reload(&self) -> LastReload {
        let error = self.handle.failure();
        LastReload {
            successful: error.is_none(),
            error,
            at: None,
            accepted: None,
            refused: None,
        }
    }
}

/// The filter's metrics, over its control socket: these and bans are all that the edge may ask for there.
struct FilterMetrics {
    socket: PathBuf,
}

impl Exposition for FilterMetrics {
    fn text(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>> {
        let socket = self.socket.clone();
        Box::pin(async move {
            let asked = spawn_blocking(move || client::ask(&socket, Action::Metrics, FILTER_PATIENCE)).await;
            match asked {
                Ok(Ok(Answer::Metrics { text })) => text,
                Ok(Ok(other)) => {
                    tracing::warn!(answer = ?other, "the filter gives no metrics");
                    String::new()
                }
                Ok(Err(error)) => {
                    tracing::debug!(error = %chain(&error), "the filter gives no metrics");
                    String::new()
                }
                Err(_stopping) => String::new(),
            }
        })
    }
}

/// Ends with the parent: an edge that lives on alone would hold ports that its successor wants.
fn follow_parent(parent: u32) -> Result<(), EdgeError> {
    let set = prctl::set_pdeathsig(Signal::SIGTERM);
    // The parent may have died before that.
    let alive = u32::try_from(getppid().as_raw()).is_ok_and(|actual| actual == parent);
    if set.is_ok() && alive {
        Ok(())
    } else {
        Err(EdgeError::Orphan)
    }
}

/// What the edge may read from now on: the folders of the policy, of the certificates and of what clients are judged by, links followed, and what /proc says
/// of the process. A reload that names files in other folders is refused; a restart lets them in.
fn readable(config: &Path, policy: &Policy) -> Vec<PathBuf> {
    let certificates = policy
        .listeners
        .iter()
        .flat_map(|listener| &listener.tls.certificates);
    let certificates = certificates
        .flat_map(|pair| [Some(&pair.cert), Some(&pair.key), pair.ocsp.as_ref()])
        .flatten()
        .map(PathBuf::as_path);
    let client_auth = policy
        .listeners
        .iter()
        .filter_map(|listener| listener.tls.client_auth.as_ref())
        .flat_map(ClientAuth::files);
    let upstreams = policy.upstreams.iter().flat_map(Upstream::files);
    let files = policy
        .files
        .iter()
        .map(PathBuf::as_path)
        .chain([config])
        .chain(certificates)
        .chain(client_auth)
        .chain(upstreams.map(PathBuf::as_path));
    let mut folders = vec![PathBuf::from("/proc")];
    for file in files {
        let target = std::fs::canonicalize(file).ok();
        for path in [Some(file), target.as_deref()].into_iter().flatten() {
            match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => folders.push(parent.to_owned()),
                _ => folders.push(PathBuf::from(".")),
            }
        }
    }
    folders.sort_unstable();
    folders.dedup();
    folders
}

/// What is left to do when the last connection is cut.
pub(super) const AFTER_DRAIN: Duration = Duration::from_secs(5);

/// A scrape must not wait longer for the filter than Prometheus waits for us (10 seconds).
const FILTER_PATIENCE: Duration = Duration::from_secs(4);
