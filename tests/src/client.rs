//! TLS clients of the edge: rustls for what must be exact or many, curl and openssl for what users have.

use std::io;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::home::Home;
use crate::pki::Authority;

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
        Self {
            connector: TlsConnector::from(Arc::new(config)),
        }
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
