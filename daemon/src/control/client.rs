//! Asks a running half for one action. Blocking: used by the command line, and by the edge from a thread of its own.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{REPLY_BYTES, Reply, Request, VERSION};
use super::{Action, Answer};

/// Asks the half that listens on `socket` and waits for its answer, at most `patience`.
///
/// # Errors
///
/// When nobody listens there, or what comes back is no answer.
pub fn ask(socket: &Path, action: Action, patience: Duration) -> Result<Answer, ClientError> {
    Connection::open(socket, patience)?.ask(&Request::new(action))
}

/// A connection, for more than one request.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Connection {
    /// Connects to the half that listens on `socket`. Each answer is waited for at most `patience`.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    pub fn open(socket: &Path, patience: Duration) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket).map_err(|source| ClientError::connect(socket, source))?;
        let path = socket.to_owned();
        let set = stream
            .set_read_timeout(Some(patience))
            .and_then(|()| stream.set_write_timeout(Some(patience)));
        match set {
            Ok(()) => Ok(Self {
                stream: BufReader::new(stream),
                path,
            }),
            Err(source) => Err(ClientError::Talk { path, source }),
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// When what comes back is no answer.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ClientError> {
        let line = self.exchange(request).map_err(|source| ClientError::Talk {
            path: self.path.clone(),
            source,
        })?;
        let reply: Reply = serde_json::from_slice(&line).map_err(|source| ClientError::Reply {
            path: self.path.clone(),
            source,
        })?;
        if reply.version != VERSION {
            return Err(ClientError::Version {
                path: self.path.clone(),
                version: reply.version,
            });
        }
        Ok(reply.answer)
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        let mut reply = Vec::new();
        (&mut self.stream)
            .take(REPLY_BYTES)
            .read_until(b'\n', &mut reply)?;
        if reply.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(reply)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket's permissions.
    #[error("no permission to connect to `{}`: root and the group `ravelin` may", .0.display())]
    Denied(PathBuf),
    /// Nobody listens.
    #[error("nothing answers on `{}`: is ravelin running, with this `--socket`?", .0.display())]
    NotRunning(PathBuf),
    /// The answer cannot be read.
    #[error("the answer on `{}` cannot be read", path.display())]
    Reply {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The conversation broke off.
    #[error("no answer on `{}`", path.display())]
    Talk {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another version answers.
    #[error("the ravelin on `{}` speaks protocol version {version}, this one {VERSION}", path.display())]
    Version {
        /// The socket.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl ClientError {
    fn connect(socket: &Path, source: io::Error) -> Self {
        let path = socket.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied(path),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Self::NotRunning(path),
            _ => Self::Talk { path, source },
        }
    }
}
