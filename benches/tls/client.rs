//! TLS clients, all on one thread: each does its part and the sum is what was asked for.

use std::net::SocketAddr;
use std::sync::Arc;

use ravelin_tests::pki::Authority;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a client does, again and again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Connects, shakes hands in full, exchanges 64 bytes, ends.
    Full,
    /// The same with a session of an earlier connection.
    Resumed,
    /// Asks for so many bytes on a kept connection.
    Exchange { bytes: u32 },
    /// Sends so many bytes on a kept connection.
    Upload { bytes: u32 },
}

/// The group of the key exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// What every proxy has.
    X25519,
    /// X25519MLKEM768, and X25519 for those that have no other.
    Hybrid,
}

/// Clients that trust one authority.
pub(crate) struct Clients {
    runtime: Runtime,
    full: [TlsConnector; 2],
    resuming: TlsConnector,
}

impl Clients {
    pub(crate) fn new(authority: &Authority) -> Self {
        let connector = |groups: &[&'static dyn rustls::crypto::SupportedKxGroup], resumption| {
            let provider = CryptoProvider {
                kx_groups: groups.to_vec(),
                // With a choice each proxy would take what it likes best, and the cost of a hash would be compared.
                cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
                ..aws_lc_rs::default_provider()
            };
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).expect("a root");
            let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .expect("a version")
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.resumption = resumption;
            TlsConnector::from(Arc::new(config))
        };
        let [x25519, hybrid] = [aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::X25519MLKEM768];
        Self {
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            full: [
                connector(&[x25519], Resumption::disabled()),
                connector(&[hybrid, x25519], Resumption::disabled()),
            ],
            resuming: connector(&[x25519], Resumption::in_memory_sessions(64)),
        }
    }

    /// Does it `times` times against the proxy at `address`, a few at once.
    pub(crate) fn run(&self, address: SocketAddr, kind: Kind, group: Group, times: u32) {
        self.runtime.block_on(async {
            let mut parts = JoinSet::new();
            let clients = match kind {
                Kind::Full | Kind::Resumed => AT_ONCE,
                Kind::Exchange { .. } | Kind::Upload { .. } => KEPT.min(times),
            };
            for part in 0..clients {
                let times = times / clients + u32::from(part < times % clients);
                let connector = self.connector(kind, group).clone();
                // Tickets of one proxy are of no use to another: each has a name of its own in the client's store.
                parts.spawn(async move {
                    match kind {
                        Kind::Full | Kind::Resumed => short(&connector, address, times, kind).await,
                        Kind::Exchange { bytes } => kept(&connector, address, times, [0, bytes]).await,
                        Kind::Upload { bytes } => kept(&connector, address, times, [bytes, 0]).await,
                    }
                });
            }
            parts.join_all().await;
        });
    }

    /// Connections that have exchanged a kilobyte and rest now; they end with what is returned.
    pub(crate) fn hold(&self, address: SocketAddr, count: u32) -> Vec<TlsStream<TcpStream>> {
        self.runtime.block_on(async {
            let mut held = vec![];
            for _ in 0..count {
                let mut stream = connect(&self.full[0], address).await;
                ask(&mut stream, [0, 1_024]).await;
                held.push(stream);
            }
            held
        })
    }

    /// One TLS connection, and the runtime it lives in.
    pub(crate) fn one(&self, address: SocketAddr) -> (TlsStream<TcpStream>, &Runtime) {
        let stream = self.runtime.block_on(connect(&self.full[0], address));
        (stream, &self.runtime)
    }

    /// One connection without TLS.
    pub(crate) fn plain(&self, address: SocketAddr) -> (TcpStream, &Runtime) {
        let stream = self.runtime.block_on(async {
            let stream = TcpStream::connect(address).await.expect("connected");
            stream.set_nodelay(true).expect("an option");
            stream
        });
        (stream, &self.runtime)
    }

    fn connector(&self, kind: Kind, group: Group) -> &TlsConnector {
        match (kind, group) {
            (Kind::Resumed, _) => &self.resuming,
            (_, Group::X25519) => &self.full[0],
            (_, Group::Hybrid) => &self.full[1],
        }
    }
}

async fn short(connector: &TlsConnector, address: SocketAddr, times: u32, kind: Kind) {
    let mut full = 0;
    for _ in 0..times {
        let mut stream = connect(connector, address).await;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        full += u32::from(!resumed);
        // Tickets come with the answer.
        ask(&mut stream, [0, 64]).await;
        stream.shutdown().await.expect("an end");
        // The proxy closes first: what waits for late packets is not the client's.
        let rest = stream.read(&mut [0; 64]).await;
        assert!(matches!(rest, Ok(0)) || rest.is_err(), "the proxy says no more");
    }
    // The first of each client may have found no ticket.
    assert!(
        kind == Kind::Full || full * 10 <= times.max(10),
        "{full} of {times} did not resume"
    );
}

async fn kept(connector: &TlsConnector, address: SocketAddr, times: u32, question: [u32; 2]) {
    let mut stream = connect(connector, address).await;
    for _ in 0..times {
        ask(&mut stream, question).await;
    }
    stream.shutdown().await.expect("an end");
}

async fn connect(connector: &TlsConnector, address: SocketAddr) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("an option");
    let name = ServerName::try_from(crate::NAME).expect("a name");
    connector.connect(name, stream).await.expect("a handshake")
}

/// Asks the server: sends `question[0]` bytes and waits for `question[1]`.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, question: [u32; 2]) {
    let [send, wanted] = question.map(|bytes| bytes as usize);
    let mut buffer = vec![0; 64 << 10];
    buffer[..4].copy_from_slice(&question[0].to_be_bytes());
    buffer[4..8].copy_from_slice(&question[1].to_be_bytes());
    stream.write_all(&buffer[..8]).await.expect("sent");
    let mut sent = 0;
    while sent < send {
        let most = (send - sent).min(buffer.len());
        stream.write_all(&buffer[..most]).await.expect("sent");
        sent += most;
    }
    stream.flush().await.expect("sent");
    let mut read = 0;
    while read < wanted {
        match stream.read(&mut buffer).await.expect("an answer") {
            0 => panic!("the answer ends after {read} of {wanted} bytes"),
            bytes => read += bytes,
        }
    }
}

const AT_ONCE: u32 = 8;
const KEPT: u32 = 4;
