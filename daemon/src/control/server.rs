//! The control socket of one half: accepts, reads a request a line, answers a line.
//!
//! socket → **server** → `Handler`. Every peer is local, but not every local process is a friend: lines, connections and
//! waiting are bounded, and each standing has a bound of its own, so that nobody can lock out the operator.

use std::fs;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net as blocking;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::unistd::{Gid, chown};
use socket2::SockRef;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::edge_bans;
use super::handover::{self, Offer};
use super::peer::{Access, Peer, Standing};
use super::protocol::{REQUEST_BYTES, Reply, Request, VERSION};
use super::{Action, Answer};

/// Carries out what peers may ask for.
pub trait Handler: Send + Sync + 'static {
    /// Does what `peer` requests, and may by its `standing`, and tells what came of it.
    fn handle(&self, request: Request, peer: Peer, standing: Standing)
    -> impl Future<Output = Answer> + Send;

    /// What a process that takes over gets.
    ///
    /// # Errors
    ///
    /// Why there is nothing to get, in words for the peer.
    fn offer(&self) -> impl Future<Output = Result<Offer, String>> + Send {
        std::future::ready(Err("only an edge hands over".to_owned()))
    }

    /// The answer to `action` has been sent, or its peer is gone: the place for what ends the process.
    fn answered(&self, _action: Action) {}
}

/// A bound control socket; its file is removed on drop, unless another process has the socket then.
#[derive(Debug)]
pub struct ControlSocket {
    listener: Option<blocking::UnixListener>,
    path: PathBuf,
    handed_over: Arc<AtomicBool>,
}

/// The socket once more, for the process that takes over.
#[derive(Debug)]
pub struct SharedSocket {
    socket: OwnedFd,
    handed_over: Arc<AtomicBool>,
}

impl SharedSocket {
    /// Another descriptor of it.
    ///
    /// # Errors
    ///
    /// Out of descriptors.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    /// Another process answers on it: the file stays.
    pub fn handed_over(&self) {
        self.handed_over.store(true, Ordering::Relaxed);
    }
}

impl ControlSocket {
    /// Binds `path` for the owner and `group` alone. What a dead process left there is replaced.
    ///
    /// # Errors
    ///
    /// When a living process answers there, or the place cannot be used.
    pub fn bind(path: &Path, group: Option<Gid>) -> Result<Self, BindError> {
        let failed = |source| BindError::Bind {
            path: path.to_owned(),
            source,
        };
        if let Some(directory) = path
            .parent()
            .filter(|directory| !directory.as_os_str().is_empty())
        {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(directory)
                .map_err(failed)?;
        }
        if let Ok(metadata) = fs::symlink_metadata(path) {
            if !metadata.file_type().is_socket() {
                return Err(BindError::NotSocket(path.to_owned()));
            }
            if blocking::UnixStream::connect(path).is_ok() {
                return Err(BindError::Live(path.to_owned()));
            }
        }
        // Under another name until owner and mode are right: between bind and chmod anybody could connect.
        let beside = beside(path);
        let _not_there = fs::remove_file(&beside);
        let listener = blocking::UnixListener::bind(&beside).map_err(failed)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o660)).map_err(failed)?;
        if let Some(group) = group
            && let Err(error) = chown(&beside, None, Some(group))
        {
            // Without CAP_CHOWN the socket keeps our own group; root and our own user still reach it.
            tracing::debug!(%group, %error, "cannot give the control socket to the group");
        }
        listener.set_nonblocking(true).map_err(failed)?;
        fs::rename(&beside, path).map_err(failed)?;
        Ok(Self::bound(listener, path))
    }

    /// A socket that another process has bound to `path`, and hands over.
    ///
    /// # Errors
    ///
    /// When it is no unix socket that listens.
    pub fn adopt(socket: OwnedFd, path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Bind {
            path: path.to_owned(),
            source,
        };
        if !SockRef::from(&socket).is_listener().map_err(failed)? {
            return Err(BindError::NotSocket(path.to_owned()));
        }
        let listener = blocking::UnixListener::from(socket);
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self::bound(listener, path))
    }

    fn bound(listener: blocking::UnixListener, path: &Path) -> Self {
        Self {
            listener: Some(listener),
            path: path.to_owned(),
            handed_over: Arc::default(),
        }
    }

    /// The socket for a successor; `None` while it is served. It keeps the socket open.
    #[must_use]
    pub fn share(&self) -> Option<SharedSocket> {
        let socket = self.listener.as_ref()?.as_fd().try_clone_to_owned().ok()?;
        Some(SharedSocket {
            socket,
            handed_over: Arc::clone(&self.handed_over),
        })
    }

    /// Serves until the future is dropped. Must run inside the async runtime.
    ///
    /// # Errors
    ///
    /// When the runtime does not take the socket.
    pub async fn serve<H: Handler>(&mut self, access: Access, handler: Arc<H>) -> io::Result<()> {
        let Some(listener) = self.listener.take() else {
            return Ok(());
        };
        let listener = UnixListener::from_std(listener)?;
        let access = Arc::new(access);
        let seats = Arc::new(Seats::default());
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let conversation = converse(
                        stream,
                        Arc::clone(&access),
                        Arc::clone(&seats),
                        Arc::clone(&handler),
                    );
                    tokio::spawn(conversation);
                }
                Err(error) => {
                    // Out of descriptors: those in use are given back within the timeouts below.
                    tracing::warn!(%error, "cannot accept on the control socket");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if !self.handed_over.load(Ordering::Relaxed) {
            let _already_gone = fs::remove_file(&self.path);
        }
    }
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refused.
    #[error("cannot bind the control socket `{}`", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody answers there.
    #[error("another ravelin answers on `{}`: stop it first, or use another `--socket`", .0.display())]
    Live(PathBuf),
    /// A file is in the way.
    #[error("`{}` is there and is not a socket: remove it, or use another `--socket`", .0.display())]
    NotSocket(PathBuf),
}

/// Connections at once, by standing. A bound for each: a flood by strangers, or by an edge that was taken over, must leave
/// the operator a seat.
struct Seats {
    operators: Semaphore,
    edges: Semaphore,
    strangers: Semaphore,
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            operators: Semaphore::new(64),
            edges: Semaphore::new(8),
            strangers: Semaphore::new(8),
        }
    }
}

impl Seats {
    const fn of(&self, standing: Standing) -> &Semaphore {
        match standing {
            Standing::Operator => &self.operators,
            Standing::Edge => &self.edges,
            Standing::Stranger => &self.strangers,
        }
    }
}

async fn converse<H: Handler>(stream: UnixStream, access: Arc<Access>, seats: Arc<Seats>, handler: Arc<H>) {
    let Ok(credentials) = stream.peer_cred() else {
        return;
    };
    let peer = Peer {
        uid: credentials.uid(),
        gid: credentials.gid(),
        pid: credentials.pid(),
    };
    let standing = access.standing(peer);
    let Ok(_seat) = seats.of(standing).try_acquire() else {
        tracing::warn!(
            uid = peer.uid,
            pid = peer.pid,
            "too many control connections: closed"
        );
        return;
    };
    let mut stream = BufReader::new(stream);
    loop {
        let mut offer = None;
        let (action, answer) = match read_line(&mut stream).await {
            Line::Complete(line) => match Request::parse(&line) {
                Ok(request) => {
                    let action = request.action;
                    let answer = match (permit(&request, peer, standing), action) {
                        (Err(error), _) => Answer::Forbidden { error },
                        (Ok(()), Action::HandOver) => handler.offer().await.map_or_else(
                            |error| Answer::Failed { error },
                            |offered| offered_answer(offer.insert(offered)),
                        ),
                        (Ok(()), _) => handler.handle(request, peer, standing).await,
                    };
                    (Some(action), answer)
                }
                Err(error) => (None, Answer::Invalid { error }),
            },
            Line::TooLong => {
                let error = format!("a request has at most {REQUEST_BYTES} bytes");
                let _gone = write_line(&mut stream, Answer::Invalid { error }).await;
                return;
            }
            Line::Ended => return,
        };
        let written = write_line(&mut stream, answer).await;
        if let Some(action) = action {
            handler.answered(action);
        }
        if written.is_err() {
            return;
        }
        if let Some(offer) = offer {
            return handover::give(&mut stream, offer).await;
        }
    }
}

fn offered_answer(offer: &Offer) -> Answer {
    Answer::Offered {
        handover: handover::VERSION,
        sockets: offer.descriptors.len(),
    }
}

/// Whether the peer may ask for that; the error says who may.
fn permit(request: &Request, peer: Peer, standing: Standing) -> Result<(), String> {
    let action = request.action;
    let allowed = action.allowed(standing);
    // Scrapes come every few seconds from the edge and say nothing about who changed what.
    if action == Action::Metrics && allowed {
        tracing::debug!(uid = peer.uid, gid = peer.gid, pid = peer.pid, %action, allowed, "audit");
    } else {
        tracing::info!(uid = peer.uid, gid = peer.gid, pid = peer.pid, %action, allowed, "audit");
    }
    if !allowed {
        return Err(format!(
            "uid {} may not ask for `{action}`: root and the group `ravelin` may",
            peer.uid
        ));
    }
    if standing == Standing::Edge
        && let Some(error) = edge_bans::too_much(&request.ban)
    {
        return Err(error);
    }
    Ok(())
}

enum Line {
    Complete(Vec<u8>),
    /// The peer closed, sent no whole line in time, or broke off.
    Ended,
    TooLong,
}

async fn read_line(stream: &mut BufReader<UnixStream>) -> Line {
    let mut line = Vec::new();
    let mut bounded = stream.take(REQUEST_BYTES as u64 + 1);
    // The time is for the whole line: a peer that sends a byte now and then keeps no seat.
    match timeout(LINE_TIME, bounded.read_until(b'\n', &mut line)).await {
        Ok(Ok(_)) if line.last() == Some(&b'\n') => Line::Complete(line),
        Ok(Ok(_)) if line.len() > REQUEST_BYTES => Line::TooLong,
        _ => Line::Ended,
    }
}

async fn write_line(stream: &mut BufReader<UnixStream>, answer: Answer) -> io::Result<()> {
    let reply = Reply {
        version: VERSION,
        answer,
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    // A peer that does not read its answer keeps no seat either.
    timeout(LINE_TIME, stream.get_mut().write_all(&line)).await?
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// For one line, in either direction.
const LINE_TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::sync::Arc;

    use super::{Answer, BindError, ControlSocket, Handler, Peer, REQUEST_BYTES, Request, Standing};
    use crate::control::peer::Access;

    struct Echo;

    impl Handler for Echo {
        async fn handle(&self, request: Request, _: Peer, _: Standing) -> Answer {
            Answer::Metrics {
                text: request.action.word().to_owned(),
            }
        }
    }

    /// Runs `client` against a socket that knows our own user.
    fn with_server(name: &str, client: impl FnOnce(&Path) + Send + 'static) {
        let directory = std::env::temp_dir().join(format!("ravelin-{name}-{}", std::process::id()));
        let path = directory.join("control.sock");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut socket = ControlSocket::bind(&path, None).unwrap();
            let client = {
                let path = path.clone();
                tokio::task::spawn_blocking(move || client(&path))
            };
            tokio::select! {
                served = socket.serve(Access::to_edge(), Arc::new(Echo)) => served.unwrap(),
                done = client => done.unwrap(),
            }
        });
        assert!(!path.exists(), "the socket file is removed");
        std::fs::remove_dir(&directory).unwrap();
    }

    fn ask(stream: &mut UnixStream, line: &str) -> String {
        stream.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer
    }

    #[test]
    fn requests_on_one_connection_are_answered_in_turn() {
        with_server("turns", |path| {
            let mut stream = UnixStream::connect(path).unwrap();
            for word in ["status", "reload"] {
                let answer = ask(&mut stream, &format!("{{\"version\":1,\"action\":\"{word}\"}}\n"));
                assert!(answer.contains(word), "{answer}");
            }
        });
    }

    #[test]
    fn garbage_is_answered_and_the_next_request_still_works() {
        with_server("garbage", |path| {
            let mut stream = UnixStream::connect(path).unwrap();
            assert!(ask(&mut stream, "\0\u{1}not json\n").contains("invalid"));
            assert!(ask(&mut stream, "{\"version\":1,\"action\":\"rules\"}\n").contains("rules"));
        });
    }

    #[test]
    fn a_line_that_never_ends_is_cut_off() {
        with_server("endless", |path| {
            let mut stream = UnixStream::connect(path).unwrap();
            // The server may close before it has read all of it.
            let _closed = stream.write_all(&vec![b'x'; REQUEST_BYTES * 4]);
            let mut answer = Vec::new();
            let _reset = stream.read_to_end(&mut answer);
            assert!(answer.len() < 1000);
        });
    }

    #[test]
    fn the_socket_is_for_owner_and_group_alone() {
        with_server("mode", |path| {
            assert_eq!(
                std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
                0o660
            );
        });
    }

    #[test]
    fn a_second_server_on_a_live_socket_is_refused_and_a_dead_socket_is_replaced() {
        let path = std::env::temp_dir().join(format!("ravelin-live-{}.sock", std::process::id()));
        let dead = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(
            ControlSocket::bind(&path, None),
            Err(BindError::Live(_))
        ));
        drop(dead);
        drop(ControlSocket::bind(&path, None).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_file_in_the_way_is_not_removed() {
        let path = std::env::temp_dir().join(format!("ravelin-file-{}", std::process::id()));
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(
            ControlSocket::bind(&path, None),
            Err(BindError::NotSocket(_))
        ));
        std::fs::remove_file(&path).unwrap();
    }
}
