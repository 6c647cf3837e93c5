//! TLS clients of the edge: rustls for what must be exact or many, curl and openssl for what users have.

use std::io;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, NamedGroup, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::home::Home;
use crate::pki::{Authority, Pair};
use crate::runtime::runtime;

/// A rustls client that trusts one authority and never resumes.
#[derive(Clone)]
pub struct Client {
    connector: TlsConnector,
}

impl Client {
    /// TLS 1.2 and 1.3.
    #[must_use]
    pub fn new(authority: &Authority) -> Self {
        Self::with_versions(authority, &[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    /// One that offers this application protocol.
    #[must_use]
    pub fn speaking(authority: &Authority, alpn: &str) -> Self {
        let mut client = Self::new(authority);
        let mut config = ClientConfig::clone(client.connector.config());
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        client.connector = TlsConnector::from(Arc::new(config));
        client
    }

    /// These versions.
    #[must_use]
    pub fn with_versions(authority: &Authority, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Self::from(config)
    }

    /// One that shows this certificate, when it is asked, and keeps every session it is given to resume it.
    #[must_use]
    pub fn showing(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        pair: Option<&Pair>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes());
                let chain = chain.collect::<Result<_, _>>().expect("a chain");
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        Self::from(config)
    }

    /// Connects from any address.
    ///
    /// # Errors
    ///
    /// When the connection or the handshake fails.
    pub async fn connect(&self, to: SocketAddr, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(to).await?;
        self.shake(stream, name).await
    }

    /// Connects from a loopback address of the test's choice.
    ///
    /// # Errors
    ///
    /// When the connection or the handshake fails.
    pub async fn connect_from(
        &self,
        from: &str,
        to: SocketAddr,
        name: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        self.shake(connect_from(from, to).await?, name).await
    }

    /// Shakes hands on a connection that is there.
    ///
    /// # Errors
    ///
    /// When the handshake fails.
    pub async fn shake(&self, stream: TcpStream, name: &str) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).expect("a server name");
        self.connector.connect(name, stream).await
    }
}

impl Client {
    /// The same as [`showing`](Self::showing), and every session is offered to every server name.
    #[must_use]
    pub fn offering_all(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        pair: Option<&Pair>,
    ) -> Self {
        let mut config = Self::showing(authority, versions, pair).config();
        config.resumption = Resumption::store(Arc::new(OneName(ClientSessionMemoryCache::new(32))));
        Self::from(config)
    }

    fn config(&self) -> ClientConfig {
        ClientConfig::clone(self.connector.config())
    }
}

/// Keeps every session under the same name.
#[derive(Debug)]
struct OneName(ClientSessionMemoryCache);

impl OneName {
    fn name() -> ServerName<'static> {
        ServerName::try_from("one.example.com").expect("a server name")
    }
}

impl ClientSessionStore for OneName {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(Self::name(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&Self::name())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(Self::name(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&Self::name())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        // Offered again and again, refused or not.
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(Self::name(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&Self::name())
    }
}

/// One request of a client that sends `certificate` (PEM) whatever is in it, and signs with `key` (PEM).
///
/// # Errors
///
/// What the edge answers.
#[track_caller]
pub fn show_bytes(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    certificate: &str,
    key: &str,
    to: SocketAddr,
    name: &str,
) -> io::Result<String> {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let key = aws_lc_rs::sign::any_supported_type(&key).expect("a key that signs");
    let mut config = Client::showing(authority, versions, None).config();
    let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    config.client_auth_cert_resolver = Arc::new(shown);
    let client = Client::from(config);
    runtime().block_on(async {
        let mut stream = client.connect(to, name).await?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    })
}

impl From<ClientConfig> for Client {
    fn from(config: ClientConfig) -> Self {
        Self {
            connector: TlsConnector::from(Arc::new(config)),
        }
    }
}

/// A TCP connection from a loopback address of the test's choice.
///
/// # Errors
///
/// When it fails.
pub async fn connect_from(from: &str, to: SocketAddr) -> io::Result<TcpStream> {
    let from: IpAddr = from.parse().expect("an address");
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// Runs curl against `https://name/` at `to`, trusting `authority`.
#[track_caller]
#[must_use]
pub fn curl(home: &Home, authority: &Authority, to: SocketAddr, name: &str, arguments: &[&str]) -> Output {
    home.write("authority.pem", &authority.pem());
    Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
        .arg(home.directory().join("authority.pem"))
        .args(["--resolve", &format!("{name}:{}:{}", to.port(), to.ip())])
        .args(arguments)
        .arg(format!("https://{name}:{}/", to.port()))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("`curl` does not run: {error}"))
}

/// Runs `openssl s_client` against `to` with `input`; its whole output, both streams.
#[track_caller]
#[must_use]
pub fn s_client(to: SocketAddr, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &to.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`openssl` does not run: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    // It may have ended already, refused.
    let _ended = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("openssl ends");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
