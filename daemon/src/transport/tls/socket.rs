//! The client's socket, as rustls writes to it.
//!
//! handshake → **socket** → client. rustls answers a client that shows no certificate with `certificate_required` in every version. TLS 1.2
//! does not have that alert: there it is `handshake_failure` (RFC 5246 section 7.4.6), which is what older clients can read.
//!
//! What rustls reads before there is a session it may have to keep: a second hello, a chain of certificates, 64 KiB of either, and a
//! client can stop in the midst of it. It is counted here, against what the first hello was counted against.

use std::io::{self, IoSlice};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::transport::hello_memory::Share;

/// A TCP stream that says what TLS 1.2 has words for.
#[derive(Debug)]
pub(crate) struct ClientSocket {
    stream: TcpStream,
    /// What the handshake has read, and the leave to hold it; `None` when there is a session, which keeps a record at the most.
    handshake: Option<(usize, Share)>,
}

impl ClientSocket {
    /// Of a client that has sent its hello.
    pub(super) const fn new(stream: TcpStream, share: Share) -> Self {
        Self {
            stream,
            handshake: Some((0, share)),
        }
    }

    /// There is a session.
    pub(super) fn settle(&mut self) {
        self.handshake = None;
    }
}

impl Deref for ClientSocket {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl DerefMut for ClientSocket {
    fn deref_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        if let Some((read, share)) = &mut self.handshake {
            *read += into.filled().len().saturating_sub(before);
            share.cover(*read)?;
        }
        polled
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, in_its_words(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [only] => Pin::new(&mut self.stream).poll_write(context, in_its_words(only)),
            _ => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The alert is a record of its own, and readable only in a handshake of TLS 1.2: later, and in TLS 1.3, alerts are encrypted.
fn in_its_words(bytes: &[u8]) -> &[u8] {
    if bytes == CERTIFICATE_REQUIRED {
        HANDSHAKE_FAILURE
    } else {
        bytes
    }
}

/// An alert record: TLS 1.2 on the wire, fatal, `certificate_required` (116).
const CERTIFICATE_REQUIRED: &[u8] = &[21, 3, 3, 0, 2, 2, 116];

/// The same with `handshake_failure` (40).
const HANDSHAKE_FAILURE: &[u8] = &[21, 3, 3, 0, 2, 2, 40];
