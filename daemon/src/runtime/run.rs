//! `ravelin run`: the filter as parent, the edge as a child that runs for itself and holds none of the parent's rights.
//!
//! The child is a binary started again: the one that is on disk then, under the name of ours. It drops its rights itself (`sandbox`); the
//! parent starts it, starts it again when it ends, starts another that takes over from it (`ravelin upgrade`), hands on signals, and
//! stops it last.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::edge::AFTER_DRAIN;
use crate::control::protocol::Status;
use crate::control::{Action, Answer, client};
use crate::settings::Settings;

/// The edge beside a filter.
#[derive(Debug)]
pub(super) struct Companion {
    /// 0 while there is none.
    pid: Arc<AtomicI32>,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<Drained>,
}

/// Whether every connection of every edge could finish.
pub(super) type Drained = bool;

#[derive(Debug)]
enum Order {
    /// To end, within this time.
    Stop(Duration),
    Upgrade(oneshot::Sender<Result<u32, String>>),
}

/// Asks for upgrades. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Upgrades(mpsc::Sender<Order>);

impl Upgrades {
    /// Replaces the running edge; gives the process of the new one, or says why the old one stays.
    pub(super) async fn upgrade(&self) -> Result<u32, String> {
        let (answer, answered) = oneshot::channel();
        let asked = self.0.send(Order::Upgrade(answer)).await;
        let stopping = || "ravelin is stopping".to_owned();
        asked.map_err(|_gone| stopping())?;
        answered.await.map_err(|_gone| stopping())?
    }
}

impl Companion {
    /// Starts the edge, and starts it again whenever it ends. Must run on the main thread: the system ends the child when the
    /// thread that made it ends.
    pub(super) fn start(settings: &Settings) -> std::io::Result<Self> {
        let pid = Arc::new(AtomicI32::new(0));
        // One order waits while one is carried out; who has more waits with it.
        let (orders, ordered) = mpsc::channel(1);
        let edges = Edges {
            // Now: once the file is replaced, the system says that ours is deleted.
            binary: std::env::current_exe()?,
            settings: settings.clone(),
            current: Arc::clone(&pid),
            draining: JoinSet::new(),
        };
        let task = tokio::spawn(edges.supervise(ordered));
        Ok(Self { pid, orders, task })
    }

    /// Something that asks for upgrades.
    pub(super) fn upgrades(&self) -> Upgrades {
        Upgrades(self.orders.clone())
    }

    /// Something that hands SIGHUP on.
    pub(super) fn hangup(&self) -> impl FnMut() + use<> {
        let pid = Arc::clone(&self.pid);
        move || send(pid.load(Ordering::Relaxed), Signal::SIGHUP)
    }

    /// Ends the edge and waits until it has drained its connections, which the policy gives it `drain` for.
    pub(super) async fn stop(&mut self, drain: Duration) -> Drained {
        let _ended = self.orders.send(Order::Stop(drain + AFTER_DRAIN)).await;
        (&mut self.task).await.unwrap_or(false)
    }
}

/// The edge that serves, and those that it has taken over from.
struct Edges {
    binary: PathBuf,
    settings: Settings,
    current: Arc<AtomicI32>,
    draining: JoinSet<Drained>,
}

impl Edges {
    async fn supervise(mut self, mut orders: mpsc::Receiver<Order>) -> Drained {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let started = Instant::now();
            match self.spawn(false) {
                Ok(child) => {
                    if let Some(patience) = self.watch(child, &mut orders).await {
                        return self.all_drained(patience).await;
                    }
                }
                Err(error) => tracing::error!(%error, "cannot start the edge; it is tried again"),
            }
            if started.elapsed() > LONG_LIFE {
                backoff = FIRST_BACKOFF;
            }
            let pause = sleep(backoff);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    order = orders.recv() => match order {
                        None => return true,
                        Some(Order::Stop(patience)) => return self.all_drained(patience).await,
                        Some(Order::Upgrade(answer)) => {
                            let _gone = answer.send(Err("no edge runs now; it is started again anyway".to_owned()));
                        }
                    },
                }
            }
            backoff = (backoff * 2).min(LAST_BACKOFF);
        }
    }

    /// Until the edge ends by itself (`None`), or is to end, within that time.
    async fn watch(&mut self, mut child: Child, orders: &mut mpsc::Receiver<Order>) -> Option<Duration> {
        loop {
            let pid = pid_of(&child);
            self.current.store(pid, Ordering::Relaxed);
            tracing::info!(pid, "edge started");
            let order = tokio::select! {
                ended = child.wait() => {
                    self.current.store(0, Ordering::Relaxed);
                    let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                    tracing::error!(%status, "the edge ended; it is started again");
                    return None;
                }
                order = orders.recv() => order,
            };
            match order {
                Some(Order::Upgrade(answer)) => {
                    let outcome = self.successor().await;
                    let told = outcome
                        .as_ref()
                        .map(|new| pid_of(new).unsigned_abs())
                        .map_err(Clone::clone);
                    match outcome {
                        Ok(new) => {
                            let old = std::mem::replace(&mut child, new);
                            self.draining.spawn(drained(old));
                        }
                        Err(error) => {
                            tracing::error!(error, "the new edge did not take over; the old one goes on")
                        }
                    }
                    let _gone = answer.send(told);
                }
                Some(Order::Stop(patience)) => {
                    self.draining.spawn(drained(child));
                    send(pid, Signal::SIGTERM);
                    return Some(patience);
                }
                None => return Some(Duration::ZERO),
            }
        }
    }

    /// A new edge that serves, having taken over from the one that did.
    async fn successor(&self) -> Result<Child, String> {
        let mut new = self
            .spawn(true)
            .map_err(|error| format!("cannot start the new edge: {error}"))?;
        let pid = pid_of(&new).unsigned_abs();
        let socket = &self.settings.edge_socket;
        let serves = async {
            while !answers(socket, pid).await {
                sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = serves => Ok(new),
            ended = new.wait() => {
                let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(format!("the new edge ended with {status}; its log says why"))
            }
            () = sleep(START_PATIENCE) => {
                let _gone = new.kill().await;
                Err("the new edge did not serve in time".to_owned())
            }
        }
    }

    /// Waits for all that drain, those that were relieved earlier too; kills what is left then.
    async fn all_drained(mut self, patience: Duration) -> Drained {
        let mut all = true;
        let everything = async {
            while let Some(drained) = self.draining.join_next().await {
                all &= drained.unwrap_or(false);
            }
        };
        if timeout(patience, everything).await.is_err() {
            tracing::warn!("the edge does not end; killed");
            // Each is killed with its task.
            self.draining.shutdown().await;
            return false;
        }
        all
    }

    fn spawn(&self, take_over: bool) -> std::io::Result<Child> {
        let settings = &self.settings;
        Command::new(&self.binary)
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
            .args(take_over.then_some("--take-over"))
            // The service manager talks to the parent alone.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }
}

/// Whether the edge of that process answers on the control socket.
async fn answers(socket: &Path, pid: u32) -> bool {
    let socket = socket.to_owned();
    let asked = spawn_blocking(move || client::ask(&socket, Action::Status, ANSWER_PATIENCE)).await;
    let answering = |status: &Status| status.half == "edge" && status.pid == pid;
    matches!(asked, Ok(Ok(Answer::Status(status))) if answering(&status))
}

async fn drained(mut edge: Child) -> Drained {
    let pid = pid_of(&edge);
    match edge.wait().await {
        Ok(status) => {
            tracing::info!(pid, %status, "an edge has drained");
            all_finished(status)
        }
        Err(error) => {
            tracing::error!(pid, %error, "an edge cannot be waited for");
            false
        }
    }
}

/// By its exit code: it had to cut connections, or did not get that far.
fn all_finished(status: ExitStatus) -> Drained {
    status.success()
}

fn pid_of(child: &Child) -> i32 {
    child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or(0)
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
/// The running edge waits no longer for its successor.
const START_PATIENCE: Duration = Duration::from_secs(60);
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
