//! Servers that come and go, that never answer, and that speak TLS.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ravelin_tests::backend::Backend;
use ravelin_tests::pki::{Authority, Pair};
use ravelin_tests::runtime::runtime;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// An address that is ours whether somebody listens there or not.
pub(crate) struct Place {
    address: SocketAddr,
    _reserved: Socket,
    serving: Option<JoinHandle<()>>,
}

impl Place {
    /// Nobody listens: connections are refused.
    pub(crate) fn empty() -> Self {
        let reserved = socket();
        reserved
            .bind(&"127.0.0.1:0".parse::<SocketAddr>().expect("an address").into())
            .expect("bind");
        let address = reserved.local_addr().expect("an address").as_socket();
        Self {
            address: address.expect("an address"),
            _reserved: reserved,
            serving: None,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on somebody listens, answers `word` to whoever sends a byte, and closes.
    pub(crate) fn open(&mut self, word: &'static str) {
        let socket = socket();
        socket.bind(&self.address.into()).expect("bind");
        socket.listen(128).expect("listen");
        socket.set_nonblocking(true).expect("nonblocking");
        let _inside = runtime().enter();
        let listener = TcpListener::from_std(socket.into()).expect("a listener");
        self.serving = Some(runtime().spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    // The peer may hang up at any time; tests look at what the client saw.
                    let _read = stream.read_to_end(&mut request).await;
                    if !request.is_empty() {
                        let _sent = stream.write_all(word.as_bytes()).await;
                    }
                });
            }
        }));
    }

    /// Nobody listens any longer.
    pub(crate) fn close(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _aborted = runtime().block_on(serving);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.close();
    }
}

fn socket() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("reuse");
    socket
}

/// A place that answers no SYN: its queue is full, and nobody accepts.
pub(crate) struct Silent {
    pub(crate) address: SocketAddr,
    _listening: Socket,
    _waiting: Vec<Socket>,
}

impl Silent {
    pub(crate) fn new() -> Self {
        let listening = socket();
        listening
            .bind(&"127.0.0.1:0".parse::<SocketAddr>().expect("an address").into())
            .expect("bind");
        listening.listen(0).expect("listen");
        let address = listening.local_addr().expect("an address");
        let waiting = (0..4)
            .map(|_| {
                let client = socket();
                client.set_nonblocking(true).expect("nonblocking");
                // Finished by the kernel, or in progress for ever.
                let _in_progress = client.connect(&address);
                client
            })
            .collect();
        Self {
            address: address.as_socket().expect("an address"),
            _listening: listening,
            _waiting: waiting,
        }
    }
}

/// What a [`tls_server`] has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// For each handshake that was finished: SNI, ALPN, and the certificate of the client.
    pub(crate) sessions: Vec<Session>,
    /// Handshakes that failed.
    pub(crate) failed: usize,
    /// Bytes inside of TLS.
    pub(crate) bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) server_name: Option<String>,
    pub(crate) alpn: Option<String>,
    pub(crate) client_certificate: Option<Vec<u8>>,
    pub(crate) resumed: bool,
}

/// A server that sends back what it gets over TLS. With `clients` it demands a certificate of that authority.
pub(crate) fn tls_server(
    pair: &Pair,
    clients: Option<&Authority>,
    alpn: &[&str],
) -> (Backend, Arc<Mutex<Seen>>) {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).expect("a root");
            let provider = Arc::new(aws_lc_rs::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
    let mut config = builder
        .with_single_cert(vec![pair.der.clone()], key)
        .expect("a pair");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let seen = Arc::new(Mutex::new(Seen::default()));
    let noted = Arc::clone(&seen);
    let backend = Backend::new(move |stream| {
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&noted));
        async move {
            let mut stream = match acceptor.accept(stream).await {
                Ok(stream) => stream,
                Err(error) => {
                    seen.lock().expect("unbroken").failed += 1;
                    return Err(error);
                }
            };
            {
                let (_, tls) = stream.get_ref();
                let session = Session {
                    resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
                    server_name: tls.server_name().map(str::to_owned),
                    alpn: tls
                        .alpn_protocol()
                        .map(|name| String::from_utf8_lossy(name).into_owned()),
                    client_certificate: tls
                        .peer_certificates()
                        .and_then(|chain| Some(chain.first()?.to_vec())),
                };
                seen.lock().expect("unbroken").sessions.push(session);
            }
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let read = stream.read(&mut buffer).await?;
                if read == 0 {
                    return stream.shutdown().await;
                }
                seen.lock().expect("unbroken").bytes += read;
                stream.write_all(&buffer[..read]).await?;
                stream.flush().await?;
            }
        }
    });
    (backend, seen)
}
