//! The client's socket, as rustls writes to it.
//!
//! handshake → **socket** → client. rustls answers a client that shows no certificate with `certificate_required` in every version. TLS 1.2
//! does not have that alert: there it is `handshake_failure` (RFC 5246 section 7.4.6), which is what older clients can read.

use std::io::{self, IoSlice};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream that says what TLS 1.2 has words for.
#[derive(Debug)]
pub(crate) struct ClientSocket(pub(crate) TcpStream);

impl Deref for ClientSocket {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.0
    }
}

impl DerefMut for ClientSocket {
    fn deref_mut(&mut self) -> &mut TcpStream {
        &mut self.0
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, in_its_words(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [only] => Pin::new(&mut self.0).poll_write(context, in_its_words(only)),
            _ => Pin::new(&mut self.0).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
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
