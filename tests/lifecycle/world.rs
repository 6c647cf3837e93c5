//! The real `ravelin edge` in a namespace of its own, on fixed ports.

use std::net::SocketAddr;

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::edge::get;
use ravelin_tests::netns::Namespace;
use ravelin_tests::pki::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::client::TlsStream;

use super::NAME;

pub(super) const LISTENER: &str = "127.0.0.1:8443";
pub(super) const METRICS: &str = "127.0.0.1:9465";

pub(super) struct World {
    pub(super) daemon: Daemon,
    pub(super) authority: Authority,
    pub(super) backend: Backend,
    pub(super) namespace: Namespace,
    pub(super) client: Client,
    /// Its threads are in the namespace.
    pub(super) runtime: Runtime,
}

/// A world whose edge is not started yet. `more` stands at the end of the policy.
pub(super) fn world(test: &str, half: Half, more: &str) -> World {
    let namespace = Namespace::new(test, "edge");
    let backend = namespace.run(Backend::echo);
    let authority = Authority::new();
    let client = Client::new(&authority);
    let daemon = Daemon::new(test, half, &policy(backend.address(), more)).inside(&namespace);
    let pair = authority.issue(&[NAME]);
    daemon.home().write("api.pem", &pair.cert);
    daemon.home().write("api.key", &pair.key);
    let runtime = namespace.run(|| Builder::new_multi_thread().worker_threads(1).enable_all().build());
    World {
        daemon,
        authority,
        backend,
        namespace,
        client,
        runtime: runtime.expect("a runtime"),
    }
}

pub(super) fn policy(server: SocketAddr, more: &str) -> String {
    format!(
        r#"
[[listener]]
name = "api"
bind = ["{LISTENER}", "[::1]:8443"]
routes = [{{ sni = "{NAME}", upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
alpn = ["h2", "http/1.1"]
[[upstream]]
name = "app"
servers = ["{server}"]
[metrics]
bind = "{METRICS}"
{more}
"#
    )
}

impl World {
    pub(super) fn started(mut self) -> Self {
        self.daemon.start();
        self
    }

    /// A session that has echoed once.
    #[track_caller]
    pub(super) fn session(&self) -> TlsStream<TcpStream> {
        self.run(async {
            let mut stream = self
                .client
                .connect(address(LISTENER), NAME)
                .await
                .expect("a session");
            echoes(&mut stream).await.expect("an echo");
            stream
        })
    }

    /// Runs a future on threads of the namespace.
    pub(super) fn run<F>(&self, work: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        self.namespace.run(|| self.runtime.block_on(work))
    }

    pub(super) fn page(&self, path: &str) -> (u16, String) {
        self.namespace.run(|| get(address(METRICS), path))
    }

    /// The value of a series.
    #[track_caller]
    pub(super) fn metric(&self, series: &str) -> f64 {
        let page = self.page("/metrics").1;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no series `{series}` in\n{page}"));
        value.parse().expect("a number")
    }
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(super) async fn echoes(stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    stream.write_all(b"ping").await?;
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).await?;
    assert_eq!(&echo, b"ping");
    Ok(())
}

/// Ends a session in order.
pub(super) async fn ends(mut stream: TlsStream<TcpStream>) -> std::io::Result<()> {
    stream.shutdown().await?;
    let read = stream.read(&mut [0]).await?;
    assert_eq!(read, 0);
    Ok(())
}
