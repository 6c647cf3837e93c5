//! Bytes from the client to the upstream and back, until both sides are done or one breaks.
//!
//! upstream → **relay** → end. A side that closes is closed towards the other side and may still read (half-close); an end
//! without `close_notify` is relayed too, and counted. Memory is bounded: bytes are read into one buffer per thread, and
//! a direction keeps bytes of its own only while its receiver is slower than its sender.

mod timers;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::pace::Pace;
use crate::metrics::ListenerMetrics;
use crate::metrics::labels::Closure;
pub(super) use timers::Timeouts;
use timers::Timers;

/// Bytes relayed for one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    pub(super) to_upstream: u64,
    pub(super) to_client: u64,
}

/// Relays between the client's decrypted stream and the upstream's; says how it ended.
pub(super) async fn relay<C, U>(
    client: &mut C,
    upstream: &mut U,
    timeouts: Timeouts,
    metrics: &ListenerMetrics,
    [pace_up, pace_down]: [Pace; 2],
    moved: &mut Moved,
) -> Closure
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut to_upstream = Direction::new(&metrics.to_upstream, pace_up, &mut moved.to_upstream);
    let mut to_client = Direction::new(&metrics.to_client, pace_down, &mut moved.to_client);
    let mut timers = Timers::new(timeouts);
    let mut truncated = false;
    let closure = poll_fn(|cx| {
        if let Poll::Ready(Err(broken)) = to_upstream.poll(cx, client, upstream) {
            tracing::debug!(error = %broken.error(), "client to upstream broke");
            match broken {
                Broken::Reader(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    truncated = true;
                    to_upstream.reader_ended();
                    cx.waker().wake_by_ref();
                }
                Broken::Reader(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Poll::Ready(Closure::TlsViolation);
                }
                Broken::Reader(_) => return Poll::Ready(Closure::ClientReset),
                // The upstream takes no more, but what it has already answered must still reach the client.
                Broken::Writer(_) => to_upstream.give_up(),
            }
        }
        if let Poll::Ready(Err(broken)) = to_client.poll(cx, upstream, client) {
            tracing::debug!(error = %broken.error(), "upstream to client broke");
            return Poll::Ready(match broken {
                Broken::Reader(_) => Closure::UpstreamReset,
                Broken::Writer(_) => Closure::ClientReset,
            });
        }
        if to_client.done() && to_upstream.done() {
            return Poll::Ready(match (to_upstream.given_up, truncated) {
                (true, _) => Closure::UpstreamReset,
                (false, true) => Closure::Truncated,
                (false, false) => Closure::Completed,
            });
        }
        let progress = to_upstream.take_progress() | to_client.take_progress();
        timers.poll(cx, progress, to_upstream.done() || to_client.done())
    })
    .await;
    if to_upstream.given_up && to_client.done() {
        // Its buffer would be part of every connection, for as long as it lives.
        Box::pin(linger(client)).await;
    }
    closure
}

/// Reads on, for a moment, what nobody wants any more: closing a socket with unread bytes resets the connection, and the reset can
/// overtake the upstream's answer (a server that refuses an upload says so and closes).
async fn linger<C: AsyncRead + Unpin>(client: &mut C) {
    let discard = async {
        let mut discarded = [0; 4096];
        while client.read(&mut discarded).await.is_ok_and(|read| read > 0) {}
    };
    drop(timeout(LINGER, discard).await);
}

/// One way of the relay.
struct Direction<'m> {
    state: State,
    /// Bytes read and not yet taken by the writer; empty, and without memory, while the writer keeps up.
    pending: Vec<u8>,
    written: usize,
    /// How much is read at once: grows while reads fill it and the writer keeps up, and begins anew when it does not.
    room: usize,
    given_up: bool,
    progress: bool,
    bytes: &'m IntCounter,
    pace: Pace,
    moved: &'m mut u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The reader has ended; the writer is to be told.
    Ending,
    Done,
}

enum Broken {
    Reader(io::Error),
    Writer(io::Error),
}

impl Broken {
    fn error(&self) -> &io::Error {
        match self {
            Self::Reader(error) | Self::Writer(error) => error,
        }
    }
}

impl<'m> Direction<'m> {
    fn new(bytes: &'m IntCounter, pace: Pace, moved: &'m mut u64) -> Self {
        Self {
            state: State::Open,
            pending: Vec::new(),
            written: 0,
            room: RECORD_BYTES,
            given_up: false,
            progress: false,
            bytes,
            pace,
            moved,
        }
    }

    fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether a byte or an end came through since the last question, or would have if it might.
    fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress) || self.pace.is_paused()
    }

    fn reader_ended(&mut self) {
        self.state = State::Ending;
    }

    fn give_up(&mut self) {
        self.state = State::Done;
        self.given_up = true;
        self.pace.leave();
        self.pending = Vec::new();
    }

    fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            ready!(self.poll_pending(cx, writer)).map_err(Broken::Writer)?;
            match self.state {
                State::Open => ready!(self.poll_more(cx, reader, writer))?,
                State::Ending => {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(Broken::Writer)?;
                    self.state = State::Done;
                    self.progress = true;
                }
                State::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes what an earlier poll could not.
    fn poll_pending<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<()>> {
        while self.written < self.pending.len() {
            let rest = &self.pending[self.written..];
            let written = ready!(Pin::new(&mut *writer).poll_write(cx, rest))?;
            self.note(written)?;
            self.written += written;
        }
        if self.written > 0 {
            (self.pending, self.written) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once and writes what was read. `Ready` means: poll again.
    fn poll_more<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(&mut buffer[..self.room]);
            match self.pace.poll_read(cx, reader, &mut read) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Reader(error))),
                Poll::Pending => {
                    // Nothing more to send for now: what the TLS layer still holds must not wait for company.
                    ready!(Pin::new(&mut *writer).poll_flush(cx)).map_err(Broken::Writer)?;
                    return Poll::Pending;
                }
            }
            let mut bytes = read.filled();
            if bytes.is_empty() {
                self.state = State::Ending;
            }
            let filled = bytes.len() == self.room;
            while !bytes.is_empty() {
                match Pin::new(&mut *writer).poll_write(cx, bytes) {
                    Poll::Ready(Ok(written)) => {
                        self.note(written).map_err(Broken::Writer)?;
                        bytes = &bytes[written..];
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Writer(error))),
                    Poll::Pending => {
                        self.pending = bytes.to_vec();
                        self.room = RECORD_BYTES;
                        return Poll::Pending;
                    }
                }
            }
            if filled {
                self.room = (2 * self.room).min(BUFFER_BYTES);
            }
            Poll::Ready(Ok(()))
        })
    }

    fn note(&mut self, written: usize) -> io::Result<()> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.progress = true;
        self.bytes.inc_by(written as u64);
        *self.moved += written as u64;
        Ok(())
    }
}

thread_local! {
    /// What a read goes into. One per thread, not per connection: no poll keeps it beyond its own call.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into_boxed_slice());
}

/// Bounded: a client that goes on sending holds its connection no longer than this.
const LINGER: Duration = Duration::from_secs(1);

/// One TLS record: what a read gets that need not be more.
const RECORD_BYTES: usize = 16 * 1024;

/// Four records: larger reads no longer make a byte cheaper. Also the most a direction can hold for a receiver that does not read.
const BUFFER_BYTES: usize = 4 * RECORD_BYTES;
