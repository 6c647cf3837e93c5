//! The first bytes of a connection, read before it is known who they are for.
//!
//! accept → **ahead** → PROXY header, `ClientHello` → TLS, or the upstream. They are read once and handed on: looking at them in the
//! socket (`MSG_PEEK`) would cost a call more for each connection, and spin while a client takes its time.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection and what was read of it.
#[derive(Debug)]
pub(super) struct Ahead {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Ahead {
    /// Nothing was read yet.
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
        }
    }

    /// What was read and not taken.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The socket, for everything but reading.
    pub(super) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Waits for bytes, of which `wanted` would do, and reads once; says whether any came. The caller bounds `wanted`, and so the memory
    /// of a client that goes on sending.
    pub(super) async fn read(&mut self, wanted: usize) -> io::Result<bool> {
        if self.bytes.is_empty() {
            // A client that connects and sends nothing takes no buffer.
            self.stream.readable().await?;
        }
        let room = wanted.saturating_sub(self.bytes.len()).max(USUAL_BYTES);
        self.bytes.reserve(room);
        let mut bounded = (&mut self.stream).take(room as u64);
        Ok(bounded.read_buf(&mut self.bytes).await? > 0)
    }

    /// Sends a last word. One that does not arrive changes nothing: the connection ends either way.
    pub(super) async fn answer(&mut self, word: &[u8]) {
        if self.stream.write_all(word).await.is_ok() {
            part(&mut self.stream).await;
        }
    }

    /// Takes the first `count` bytes.
    pub(super) fn skip(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    /// The socket, and what was read and not taken: it comes before anything that is read from the socket.
    pub(super) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.bytes)
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
