//! `ravelin run`: the filter as parent, the edge as a child that runs for itself and holds none of the parent's rights.
//!
//! The child is the same binary started again. It drops its rights itself (`sandbox`); the parent starts it, starts it again
//! when it ends, hands on signals, and stops it last.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::settings::Settings;

/// The edge beside a filter.
#[derive(Debug)]
pub(super) struct Companion {
    /// 0 while there is none.
    pid: Arc<AtomicI32>,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Companion {
    /// Starts the edge, and starts it again whenever it ends. Must run on the main thread: the system ends the child when the
    /// thread that made it ends.
    pub(super) fn start(settings: &Settings) -> Self {
        let pid = Arc::new(AtomicI32::new(0));
        let stop = Arc::new(Notify::new());
        let task = tokio::spawn(supervise(settings.clone(), Arc::clone(&pid), Arc::clone(&stop)));
        Self { pid, stop, task }
    }

    /// Something that hands SIGHUP on.
    pub(super) fn hangup(&self) -> impl FnMut() + use<> {
        let pid = Arc::clone(&self.pid);
        move || send(pid.load(Ordering::Relaxed), Signal::SIGHUP)
    }

    /// Ends the edge and waits until it has drained its connections.
    pub(super) async fn stop(&mut self) {
        self.stop.notify_one();
        let _ended = (&mut self.task).await;
    }
}

async fn supervise(settings: Settings, current: Arc<AtomicI32>, stop: Arc<Notify>) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let started = Instant::now();
        match spawn(&settings) {
            Ok(mut child) => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or(0);
                current.store(pid, Ordering::Relaxed);
                tracing::info!(pid, "edge started");
                let ended = tokio::select! {
                    ended = child.wait() => ended,
                    () = stop.notified() => return end(child, pid).await,
                };
                current.store(0, Ordering::Relaxed);
                let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::error!(%status, "the edge ended; it is started again");
            }
            Err(error) => tracing::error!(%error, "cannot start the edge; it is tried again"),
        }
        if started.elapsed() > LONG_LIFE {
            backoff = FIRST_BACKOFF;
        }
        tokio::select! {
            () = sleep(backoff) => {}
            () = stop.notified() => return,
        }
        backoff = (backoff * 2).min(LAST_BACKOFF);
    }
}

fn spawn(settings: &Settings) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .arg("edge")
        .arg("--config")
        .arg(&settings.config)
        .arg("--socket")
        .arg(&settings.socket)
        .arg("--edge-socket")
        .arg(&settings.edge_socket)
        .arg("--log-level")
        .arg(&settings.log_level)
        .arg("--supervised-by")
        .arg(std::process::id().to_string())
        // The service manager talks to the parent alone.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

async fn end(mut child: Child, pid: i32) {
    send(pid, Signal::SIGTERM);
    if timeout(PATIENCE, child.wait()).await.is_err() {
        tracing::warn!("the edge does not end; killed");
        let _gone = child.kill().await;
    }
}

fn send(pid: i32, signal: Signal) {
    // 0 would be our own process group.
    if pid > 0 {
        let _gone = kill(Pid::from_raw(pid), signal);
    }
}

const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// An edge that lived this long did not fail because of how it was started.
const LONG_LIFE: Duration = Duration::from_secs(30);
/// The edge drains for up to 30 seconds.
const PATIENCE: Duration = Duration::from_secs(35);
