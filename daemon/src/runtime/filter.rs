//! `ravelin filter`: start order, the loops of a running filter, stop order.
//!
//! lock, socket → policy → kernel → **serve** → stop. The filter judges no packet itself: when this process ends, for
//! whatever reason, the kernel goes on with the last generation.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ravelin_rules::policy::LogFormat;
use ravelin_rules::{Loaded, Report};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::answers::Answers;
use super::applier::Applier;
use super::edge::AFTER_DRAIN;
use super::logging::LoggingError;
use super::reload::{Cause, ReloadQueue};
use super::run::Companion;
use super::shutdown::StopSignals;
use super::state::{State, StateError};
use super::{logging, notify};
use crate::control::peer::{Access, socket_group};
use crate::control::server::{BindError, ControlSocket};
use crate::network::addresses::differ;
use crate::network::attach::AttachError;
use crate::network::{ApplyError, Network, OpenError};
use crate::settings::Settings;
use crate::watch::Watch;

/// Which halves this process answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halves {
    /// `ravelin run`: the edge too, as a child.
    Both,
    /// `ravelin filter`.
    FilterOnly,
}

/// Runs the filter until a signal or `ravelin detach` ends it. Returns whether every connection of its edge could finish: `true` for a
/// filter without one.
///
/// # Errors
///
/// When it cannot start. A filter that has started does not end with an error.
pub fn run(settings: &Settings, halves: Halves) -> Result<bool, FilterError> {
    let state = State::open(&settings.state_dir)?;
    let loaded = state.load(&settings.config);
    logging::start(&settings.log_level, log_format(&loaded))?;
    let socket = ControlSocket::bind(&settings.socket, socket_group())?;
    let network = Network::open(&settings.pin_dir, state.generation())?;
    let applier = Arc::new(Applier::start(settings, network, state, loaded)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(FilterError::Runtime)?;
    runtime
        .block_on(serve(applier, socket, settings, halves))
        .map_err(FilterError::Runtime)
}

/// Why a filter does not start.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The policy is good and the kernel, or the host, does not take it.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// What an earlier process attached could not be read.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The control socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The log level.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The pin folder.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The policy is refused, nothing is in the kernel, and there is no last good policy.
    #[error("{diagnostics}")]
    Policy {
        /// The rendered report.
        diagnostics: String,
    },
    /// The process's own machinery.
    #[error("cannot serve")]
    Runtime(#[source] io::Error),
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
}

async fn serve(
    applier: Arc<Applier>,
    mut socket: ControlSocket,
    settings: &Settings,
    halves: Halves,
) -> io::Result<bool> {
    let mut stop = StopSignals::listen()?;
    let queue = applier.queue();
    let mut companion = match halves {
        Halves::Both => Some(Companion::start(settings)?),
        Halves::FilterOnly => None,
    };
    let answers = Answers {
        applier: Arc::clone(&applier),
        upgrades: companion.as_ref().map(Companion::upgrades),
    };
    notify::ready(&applier.summary());
    tokio::select! {
        name = stop.received() => tracing::info!(signal = name, "stopping; packets are judged on"),
        () = applier.detached() => tracing::info!("stopping; nothing is left in the kernel"),
        served = socket.serve(Access::to_filter(), Arc::new(answers)) => served?,
        () = work(&applier, &queue) => {}
        () = follow_files(&applier, &queue) => {}
        () = follow_host(&applier, &queue) => {}
        () = sweep(&applier) => {}
        () = applier.bans.keep_swept() => {}
        () = hear_hangup(&queue, companion.as_ref().map(Companion::hangup)) => {}
        () = notify::heartbeat() => {}
    }
    let drain = match companion {
        Some(_) => applier.drain_timeout(),
        None => Duration::ZERO,
    };
    notify::stopping(drain + 2 * AFTER_DRAIN);
    drop(socket);
    match &mut companion {
        Some(companion) => Ok(companion.stop(drain).await),
        None => Ok(true),
    }
}

/// The one worker: takes every batch of wishes and answers it.
async fn work(applier: &Arc<Applier>, queue: &ReloadQueue) {
    loop {
        let batch = queue.next().await;
        notify::reloading();
        let (worker, wishes) = (Arc::clone(applier), batch.wishes);
        // Compiling takes as long as it takes; the socket is answered meanwhile.
        let answer = spawn_blocking(move || worker.reload(wishes)).await;
        notify::ready(&applier.summary());
        if let Ok(answer) = answer {
            batch.answer(&answer);
        }
    }
}

/// A changed file is a reload.
async fn follow_files(applier: &Applier, queue: &ReloadQueue) {
    let mut watch = Watch::new();
    loop {
        watch.replace(applier.files());
        tokio::select! {
            () = watch.changed() => queue.wish(Cause::File),
            // The new policy may name other files.
            () = applier.reloaded() => {}
        }
    }
}

/// New addresses, interfaces that were replaced, a wall clock that was set, and a filter that was taken away are a new generation of the
/// same policy.
async fn follow_host(applier: &Applier, queue: &ReloadQueue) {
    let mut ticks = interval(HOST_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = applier.applied_facts();
    let mut last_lost = Vec::new();
    loop {
        ticks.tick().await;
        let now = applier.host_facts();
        // Compared with the last look, not with what is applied: facts that cannot be applied are tried once, not forever.
        if differ(&now, &last) {
            tracing::info!("the host's addresses, interfaces or wall clock changed");
            queue.wish(Cause::Host);
            last = now;
        }
        let lost = applier.lost_filters();
        if !lost.is_empty() && lost != last_lost {
            tracing::warn!(interfaces = ?lost, "somebody took the filter for what goes out away: it is put back");
            queue.wish(Cause::Host);
        }
        last_lost = lost;
    }
}

/// Flows end and buckets fill in the tables' own time; this is what makes room for others.
async fn sweep(applier: &Arc<Applier>) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let worker = Arc::clone(applier);
        // Full tables take some tenths of a second.
        let _its_own_log = spawn_blocking(move || {
            worker.sweep_flows();
            worker.sweep_limits();
        })
        .await;
    }
}

async fn hear_hangup(queue: &ReloadQueue, mut tell: Option<impl FnMut()>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        return std::future::pending().await;
    };
    while hangup.recv().await.is_some() {
        queue.wish(Cause::Signal);
        if let Some(tell) = &mut tell {
            tell();
        }
    }
}

fn log_format(loaded: &Result<Loaded, Report>) -> LogFormat {
    loaded
        .as_ref()
        .map_or_else(|_| LogFormat::default(), |loaded| loaded.policy.log)
}

/// How often the host is asked for its addresses.
const HOST_EVERY: Duration = Duration::from_secs(5);

/// How often flows are swept out that were idle for too long, and buckets that are full again: a fraction of the shortest usual timeout.
const SWEEP_EVERY: Duration = Duration::from_secs(15);
