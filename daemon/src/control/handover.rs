//! One process of the edge gives what listens to the next, over the control socket: descriptors, by `SCM_RIGHTS` (unix(7)).
//!
//! ```text
//! new → old  {"version":1,"action":"hand-over"}
//! old → new  {"version":1,"answer":"offered","handover":1,"sockets":5}
//! new → old  give
//! old → new  descriptors, at most 64 a message, a byte with each message
//! new → old  taken          when the new one serves
//! old → new  left           when the old one has stopped to accept
//! ```
//!
//! Until `taken`, the old process serves as if nobody had asked, and goes on doing so when the new one ends, hangs or fails. Both hold
//! the same sockets: at no moment is there a queue that nobody accepts from, or that goes away with connections in it.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net as blocking;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::protocol::{Answer, REQUEST_BYTES, Reply, Request};
use super::{Action, protocol};

/// The number of this exchange. Raised when its meaning changes: an edge takes over from one of another number not at all.
pub const VERSION: u32 = 1;

/// The most descriptors there can be. The other side tells a number, and a number from another process is not to be believed:
/// a policy has 1,024 addresses at most, each with a socket for every processor.
pub const MOST: usize = 16 * 1024;

/// What a process offers to its successor.
pub struct Offer {
    /// What listens, the control socket among them.
    pub descriptors: Vec<OwnedFd>,
    /// Called when the successor serves.
    pub taken: Box<dyn FnOnce() + Send>,
    /// Held until the end, whatever it is.
    pub until_the_end: Box<dyn Send>,
}

/// The old process's side, after it has answered `offered`.
pub(super) async fn give(stream: &mut BufReader<UnixStream>, offer: Offer) {
    let Offer {
        descriptors,
        taken,
        until_the_end,
    } = offer;
    match converse(stream, &descriptors).await {
        Ok(()) => {
            tracing::info!("a new process serves");
            taken();
            // It goes on without it.
            let _gone = stream.get_mut().write_all(LEFT).await;
        }
        Err(error) => tracing::warn!(%error, "the new process did not take over; this one goes on"),
    }
    drop(until_the_end);
}

async fn converse(stream: &mut BufReader<UnixStream>, descriptors: &[OwnedFd]) -> io::Result<()> {
    expect_line(stream, GIVE).await?;
    for some in descriptors.chunks(PER_MESSAGE) {
        let some: Vec<_> = some.iter().map(OwnedFd::as_fd).collect();
        let stream = stream.get_ref();
        timeout(
            PATIENCE,
            stream.async_io(Interest::WRITABLE, || send(stream, &some)),
        )
        .await??;
    }
    expect_line(stream, TAKEN).await
}

async fn expect_line(stream: &mut BufReader<UnixStream>, wanted: &[u8]) -> io::Result<()> {
    let mut line = Vec::new();
    let mut bounded = stream.take(wanted.len() as u64);
    timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await??;
    if line == wanted {
        Ok(())
    } else if line.is_empty() {
        Err(io::ErrorKind::UnexpectedEof.into())
    } else {
        Err(io::Error::other("it says something else"))
    }
}

fn send(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("more descriptors than a message has room for"));
    }
    // A byte of a stream is sent or not, and with it what is attached.
    sendmsg(stream, &[IoSlice::new(b"+")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The new process's side: what it was given, until it serves.
#[derive(Debug)]
pub struct HandOver {
    stream: blocking::UnixStream,
    path: PathBuf,
}

/// Asks the edge that answers on `socket` for everything that listens. Blocking.
///
/// # Errors
///
/// When nobody answers there, when who answers hands nothing over, or not by these words.
pub fn take(socket: &Path) -> Result<(Vec<OwnedFd>, HandOver), HandOverError> {
    let failed = |source| HandOverError::Talk {
        path: socket.to_owned(),
        source,
    };
    let mut stream = match blocking::UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Err(HandOverError::Nobody);
        }
        Err(error) => return Err(failed(error)),
    };
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut request =
        serde_json::to_vec(&Request::new(Action::HandOver)).map_err(|error| failed(error.into()))?;
    request.push(b'\n');
    stream.write_all(&request).map_err(failed)?;
    let line = read_line(&mut stream).map_err(failed)?;
    let count = match serde_json::from_slice::<Reply>(&line) {
        Ok(Reply { version, .. }) if version != protocol::VERSION => {
            return Err(HandOverError::Version(version));
        }
        Ok(Reply { answer, .. }) => offered(answer)?,
        Err(error) => return Err(failed(error.into())),
    };
    stream.write_all(GIVE).map_err(failed)?;
    let mut descriptors = Vec::new();
    while descriptors.len() < count {
        receive(&stream, &mut descriptors).map_err(failed)?;
    }
    if descriptors.len() != count {
        return Err(failed(io::Error::other(
            "more descriptors came than were announced",
        )));
    }
    let path = socket.to_owned();
    Ok((descriptors, HandOver { stream, path }))
}

impl HandOver {
    /// Tells the old process that this one serves, and waits until it has stopped to accept. Blocking.
    ///
    /// # Errors
    ///
    /// When the old process has given up waiting: it goes on, and this one must not.
    pub fn taken(mut self) -> Result<(), HandOverError> {
        let told = self
            .stream
            .write_all(TAKEN)
            .and_then(|()| read_line(&mut self.stream));
        match told {
            Ok(line) if line == LEFT => Ok(()),
            told => Err(HandOverError::Talk {
                path: self.path,
                source: told.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()),
            }),
        }
    }
}

fn offered(answer: Answer) -> Result<usize, HandOverError> {
    match answer {
        Answer::Offered {
            handover: VERSION,
            sockets,
        } if sockets <= MOST => Ok(sockets),
        Answer::Offered {
            handover: VERSION,
            sockets,
        } => Err(HandOverError::TooMany(sockets)),
        Answer::Offered { handover, .. } => Err(HandOverError::Version(handover)),
        Answer::Failed { error } | Answer::Forbidden { error } | Answer::Invalid { error } => {
            Err(HandOverError::Refused(error))
        }
        other => Err(HandOverError::Refused(format!("unexpected answer {other:?}"))),
    }
}

/// A byte at a time: what is read ahead would be descriptors, and reading throws them away.
fn read_line(stream: &mut blocking::UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < REQUEST_BYTES && stream.read(&mut byte)? > 0 {
        line.extend(byte);
        if byte == *b"\n" {
            return Ok(line);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn receive(stream: &blocking::UnixStream, descriptors: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    // CLOEXEC: no program that is started meanwhile gets them too.
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let before = descriptors.len();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // There was no room for all of a message, in the buffer or among our descriptors.
    if received.flags.contains(ReturnFlags::CTRUNC) || descriptors.len() == before {
        return Err(io::Error::other(
            "descriptors were lost on the way: raise LimitNOFILE or `ulimit -n`",
        ));
    }
    Ok(())
}

/// Why nothing is taken over.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// No edge runs.
    #[error("no edge answers: there is nothing to take over")]
    Nobody,
    /// It says no.
    #[error("the running edge hands nothing over: {0}")]
    Refused(String),
    /// The conversation broke off.
    #[error("the running edge on `{}` has not handed over", path.display())]
    Talk {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than there can be.
    #[error("the running edge announces {0} sockets; there can be {MOST} at most")]
    TooMany(usize),
    /// Another version.
    #[error(
        "the running edge hands over in version {0}, this one takes over in version {VERSION}: stop it and start this one"
    )]
    Version(u32),
}

const GIVE: &[u8] = b"give\n";
const TAKEN: &[u8] = b"taken\n";
const LEFT: &[u8] = b"left\n";

/// The kernel takes 253 in a message (`SCM_MAX_FD`).
const PER_MESSAGE: usize = 64;
const SPACE: usize = rustix::cmsg_space!(ScmRights(PER_MESSAGE));

/// To start, an edge reads files and binds nothing: seconds, on a host that is busy. An edge that waits for longer waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
#[path = "handover_tests.rs"]
mod tests;
