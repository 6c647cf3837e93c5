//! The first bytes of a connection, read before it is known who they are for.
//!
//! accept → **ahead** → PROXY header, `ClientHello` → TLS, or the upstream. They are read once and handed on: looking at them in the
//! socket (`MSG_PEEK`) would cost a call more for each connection, and spin while a client takes its time.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::hello_memory::{FREE_BYTES, Share};

/// A connection and what was read of it.
#[derive(Debug)]
pub(super) struct Ahead {
    stream: TcpStream,
    held: Held,
}

/// Bytes, and the leave to hold them.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Vec<u8>,
    share: Share,
}

impl Held {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// They are not needed any more: others may take their place.
    pub(super) fn release(&mut self) {
        self.bytes = Vec::new();
        self.share.release();
    }

    /// For what comes in their place.
    pub(super) fn into_share(mut self) -> Share {
        self.share.release();
        self.share
    }
}

impl Ahead {
    /// Nothing was read yet.
    pub(super) const fn new(stream: TcpStream, share: Share) -> Self {
        let bytes = Vec::new();
        Self {
            stream,
            held: Held { bytes, share },
        }
    }

    /// What was read and not taken.
    pub(super) fn bytes(&self) -> &[u8] {
        self.held.bytes()
    }

    /// The socket, for everything but reading.
    pub(super) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Waits for bytes and reads a few thousand at the most; says whether any came. The caller stops when there are more than it wants,
    /// and so bounds the memory of a client that goes on sending. However much a client announces: nothing is set aside for that.
    ///
    /// # Errors
    ///
    /// Of the socket, and [`NoRoom`](super::hello_memory::NoRoom).
    pub(super) async fn read(&mut self) -> io::Result<bool> {
        let Held { bytes, share } = &mut self.held;
        if bytes.is_empty() {
            // A client that connects and sends nothing takes no buffer.
            self.stream.readable().await?;
        }
        let free = FREE_BYTES.saturating_sub(bytes.len());
        let room = if free == 0 {
            USUAL_BYTES
        } else {
            free.min(USUAL_BYTES)
        };
        share.cover(bytes.len() + room)?;
        // Exactly: room for twice as much would not be covered.
        bytes.reserve_exact(room);
        let mut bounded = (&mut self.stream).take(room as u64);
        Ok(bounded.read_buf(bytes).await? > 0)
    }

    /// Sends a last word. One that does not arrive changes nothing: the connection ends either way.
    pub(super) async fn answer(&mut self, word: &[u8]) {
        if self.stream.write_all(word).await.is_ok() {
            part(&mut self.stream).await;
        }
    }

    /// Takes the first `count` bytes.
    pub(super) fn skip(&mut self, count: usize) {
        let bytes = &mut self.held.bytes;
        bytes.drain(..count.min(bytes.len()));
    }

    /// The socket, and what was read and not taken: it comes before anything that is read from the socket.
    pub(super) fn into_parts(self) -> (TcpStream, Held) {
        (self.stream, self.held)
    }
}

/// Ends a connection on which a last word was sent. What has come meanwhile is read and forgotten: closing with bytes unread resets the
/// connection, and the reset can overtake the word.
pub(super) async fn part(stream: &mut TcpStream) {
    drop(stream.shutdown().await);
    let mut forgotten = [0; USUAL_BYTES];
    for _ in 0..MOST_FORGOTTEN {
        if !matches!(stream.try_read(&mut forgotten), Ok(1..)) {
            break;
        }
    }
}

/// Bounded: whoever sends faster than this is read gets the reset.
const MOST_FORGOTTEN: usize = 32;

/// A `ClientHello` with keys against quantum computers and a PROXY header in front of it fit.
const USUAL_BYTES: usize = 4096;
