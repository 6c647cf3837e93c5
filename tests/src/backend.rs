//! A server behind the edge: what it does with a connection is a closure.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::runtime::runtime;

/// Accepts on a free port of 127.0.0.1 until it is dropped.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Backend {
    /// A server that does `serve` with every connection.
    #[must_use]
    pub fn new<S, F>(serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = runtime()
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("bind");
        let address = listener.local_addr().expect("an address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let accepting = runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let serving = serve(stream);
                tokio::spawn(async move {
                    // The peer may hang up at any time; tests look at what the client saw.
                    let _hung_up = serving.await;
                });
            }
        });
        Self {
            address,
            accepted,
            accepting,
        }
    }

    /// A server that answers one HTTP request with `body` and closes.
    #[must_use]
    pub fn http(body: &'static str) -> Self {
        Self::new(move |mut stream| async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await? == 0 {
                    return Ok(());
                }
            }
            let length = body.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await
        })
    }

    /// A server that sends back what it gets, until the client ends.
    #[must_use]
    pub fn echo() -> Self {
        Self::new(|mut stream| async move {
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await?;
            stream.shutdown().await
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
