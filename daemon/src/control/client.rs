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
    let stream = UnixStream::connect(socket).map_err(|source| ClientError::connect(socket, source))?;
    let failed = |source| ClientError::Talk {
        path: socket.to_owned(),
        source,
    };
    stream.set_read_timeout(Some(patience)).map_err(failed)?;
    stream.set_write_timeout(Some(patience)).map_err(failed)?;
    let mut line = serde_json::to_vec(&Request::new(action)).map_err(|source| failed(source.into()))?;
    line.push(b'\n');
    (&stream).write_all(&line).map_err(failed)?;
    let mut reply = Vec::new();
    BufReader::new(stream.take(REPLY_BYTES))
        .read_until(b'\n', &mut reply)
        .map_err(failed)?;
    if reply.is_empty() {
        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
    }
    let reply: Reply = serde_json::from_slice(&reply).map_err(|source| ClientError::Reply {
        path: socket.to_owned(),
        source,
    })?;
    if reply.version != VERSION {
        return Err(ClientError::Version {
            path: socket.to_owned(),
            version: reply.version,
        });
    }
    Ok(reply.answer)
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
