//! One attempt to reach a server: TCP, the PROXY header, TLS, all within one time limit.
//!
//! connect, health → **reach** → stream. Nothing of a client is sent in here: an attempt that fails can be made elsewhere.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::stream::UpstreamStream;
use crate::metrics::labels::Connect;
use crate::transport::tls::Connector;

/// What is said to a server before the bytes of a client.
#[derive(Debug, Default)]
pub(in crate::transport) struct Opening {
    /// The PROXY header, or nothing. It goes before the TLS handshake, as HAProxy's `send-proxy` does it: a server reads it
    /// before it knows which certificate to show.
    pub(in crate::transport) header: Vec<u8>,
    /// The application protocol that the client speaks, if it was agreed on.
    pub(in crate::transport) alpn: Option<Vec<u8>>,
}

/// Why a server was not reached.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) result: Connect,
    pub(super) error: io::Error,
}

impl Failed {
    /// It was this host that could not, for want of descriptors, ports or memory: no server is to blame.
    pub(super) fn is_ours(&self) -> bool {
        matches!(
            self.error.raw_os_error(),
            Some(EMFILE | ENFILE | ENOBUFS | ENOMEM | EADDRNOTAVAIL)
        )
    }

    fn handshake(error: io::Error) -> Self {
        Self {
            result: Connect::Tls,
            error,
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        Self {
            result: if refused { Connect::Refused } else { Connect::Error },
            error,
        }
    }
}

/// Reaches the server at `address` within `limit`.
pub(super) async fn reach(
    address: SocketAddr,
    opening: &Opening,
    tls: Option<&Connector>,
    limit: Duration,
) -> Result<UpstreamStream, Failed> {
    within(limit, attempt(address, opening, tls)).await
}

/// Finds out whether the server at `address` can be reached within `limit`, and closes.
pub(super) async fn check(
    address: SocketAddr,
    opening: &Opening,
    tls: Option<&Connector>,
    limit: Duration,
) -> Result<(), Failed> {
    let deadline = Instant::now() + limit;
    let stream = within(limit, attempt(address, opening, tls)).await?;
    let UpstreamStream::Tls(mut stream) = stream else {
        return Ok(());
    };
    // In TLS 1.3 a server looks at our certificate after the handshake is over for us, and answers with an alert if it does not
    // like it. One that does closes when it is told to; one that does not close in time has nothing to complain of.
    let farewell = async {
        stream.shutdown().await?;
        while stream.read(&mut [0; 1024]).await? > 0 {}
        Ok(())
    };
    match timeout_at(deadline, farewell).await {
        Ok(Err(error)) if is_alert(&error) => Err(Failed::handshake(error)),
        // Cut, closed without a word: so be it, it was there.
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn within<T>(limit: Duration, attempt: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let outcome = timeout(limit, attempt).await;
    outcome.unwrap_or_else(|elapsed| {
        Err(Failed {
            result: Connect::Timeout,
            error: elapsed.into(),
        })
    })
}

async fn attempt(
    address: SocketAddr,
    opening: &Opening,
    tls: Option<&Connector>,
) -> Result<UpstreamStream, Failed> {
    let mut stream = TcpStream::connect(address).await?;
    // A socket that just connected takes the option; if it broke meanwhile the relay will see it.
    drop(stream.set_nodelay(true));
    if !opening.header.is_empty() {
        stream.write_all(&opening.header).await?;
    }
    let Some(tls) = tls else {
        return Ok(UpstreamStream::Plain(stream));
    };
    let shaken = tls.shake(stream, opening.alpn.as_deref()).await;
    match shaken {
        Ok(stream) => Ok(UpstreamStream::Tls(Box::new(stream))),
        Err(error) => Err(Failed::handshake(error)),
    }
}

fn is_alert(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rustls::Error::AlertReceived(_)))
}

// Linux errno values; the standard library has no stable `ErrorKind` for most of them.
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const EADDRNOTAVAIL: i32 = 99;
const ENOBUFS: i32 = 105;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_server_is_to_blame_for_what_this_host_lacks() {
        let failed = |number| Failed::from(io::Error::from_raw_os_error(number));
        for number in [EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL] {
            assert!(failed(number).is_ours(), "{number}");
        }
        // Refused, reset, unreachable, timed out.
        for number in [111, 104, 113, 110] {
            assert!(!failed(number).is_ours(), "{number}");
        }
        assert_eq!(failed(111).result, Connect::Refused);
    }
}
