//! A server behind the edge: what it does with a connection is a closure.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::pki::Pair;
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
        Self::new(move |stream| answer(stream, body))
    }

    /// The same over TLS, which it ends itself.
    #[must_use]
    pub fn https(pair: &Pair, body: &'static str) -> Self {
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![pair.der.clone()], key)
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::new(move |stream| {
            let acceptor = acceptor.clone();
            async move { answer(acceptor.accept(stream).await?, body).await }
        })
    }

    /// A server that reads until the client ends, and tells what it got.
    #[must_use]
    pub fn hearing() -> (Self, Receiver<Vec<u8>>) {
        let (heard, hearing) = sync_channel(MOST_HEARD);
        let backend = Self::new(move |mut stream| {
            let heard = heard.clone();
            async move {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await?;
                let _nobody_asks = heard.try_send(all);
                Ok(())
            }
        });
        (backend, hearing)
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

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, body: &str) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Connections that a test may leave unheard.
const MOST_HEARD: usize = 100;
