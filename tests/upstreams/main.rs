//! What the edge does with servers: which it tries, which it leaves out, whom it trusts, and what it tells them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod balance;
mod decoder;
mod ejection;
mod health;
mod peers;
mod proxy;
mod retry;
mod sandbox;
mod tls;
mod tls_files;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ravelin_tests::client::Client;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The name in the listener's certificate.
const NAME: &str = "api.example.com";

/// Nothing here takes this long unless it hangs.
const SOON: Duration = Duration::from_secs(20);

/// An edge with one listener `api` in front of one upstream `app`, and a client of it.
struct World {
    edge: Edge,
    client: Client,
}

/// A policy whose upstream has these servers, and says this.
fn policy(servers: &[SocketAddr], upstream: &str) -> String {
    policy_with(servers, upstream, "")
}

/// The same, with something in `[listener.tls]`.
fn policy_with(servers: &[SocketAddr], upstream: &str, tls: &str) -> String {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
routes = [{{ upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
{tls}
[[upstream]]
name = "app"
servers = [{}]
{upstream}
"#,
        servers.join(", ")
    )
}

impl World {
    #[track_caller]
    fn new(test: &str, servers: &[SocketAddr], upstream: &str) -> Self {
        Self::with_files(test, &[], &policy(servers, upstream))
    }

    /// With files beside the policy.
    #[track_caller]
    fn with_files(test: &str, files: &[(&str, &str)], policy: &str) -> Self {
        let authority = Authority::new();
        let edge = Edge::start(test, "", &[("api", &authority.issue(&[NAME]))]);
        for (name, text) in files {
            edge.home().write(name, text);
        }
        edge.write_policy(policy);
        edge.reload().expect("the policy loads");
        Self {
            edge,
            client: Client::new(&authority),
        }
    }

    async fn session(&self) -> io::Result<TlsStream<TcpStream>> {
        self.client.connect(self.edge.address("api"), NAME).await
    }

    /// Sends a request, ends, and reads the answer to its end.
    async fn ask(&self, request: &[u8]) -> io::Result<String> {
        let mut stream = self.session().await?;
        stream.write_all(request).await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The answer to one request of one client.
    #[track_caller]
    fn answer(&self) -> io::Result<String> {
        runtime().block_on(self.ask(GET))
    }

    #[track_caller]
    fn connects(&self, result: &str) -> f64 {
        self.by_result("connects", result)
    }

    #[track_caller]
    fn checks(&self, result: &str) -> f64 {
        self.by_result("checks", result)
    }

    #[track_caller]
    fn by_result(&self, what: &str, result: &str) -> f64 {
        self.edge.metric(&format!(
            "ravelin_edge_upstream_{what}_total{{result=\"{result}\",upstream=\"app\"}}"
        ))
    }

    #[track_caller]
    fn count(&self, what: &str) -> f64 {
        self.edge
            .metric(&format!("ravelin_edge_upstream_{what}_total{{upstream=\"app\"}}"))
    }

    /// `up` or `ejected` of a server.
    #[track_caller]
    fn server(&self, what: &str, server: SocketAddr) -> f64 {
        self.edge.metric(&format!(
            "ravelin_edge_upstream_server_{what}{{server=\"{server}\",upstream=\"app\"}}"
        ))
    }

    #[track_caller]
    fn await_up(&self, server: SocketAddr, up: bool) {
        wait::until(&format!("{server} to be up: {up}"), SOON, || {
            (self.server("up", server) == f64::from(u8::from(up))).then_some(())
        });
    }
}

/// A request, as `Backend::http` reads it.
const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
