//! TLS two-way with real clients: what each fault is answered with, who is let in, what servers are told, and that no earlier session
//! gets anybody past it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod alerts;
mod identity;
mod refusals;
mod resumption;
mod revocation;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ravelin_tests::client::Client;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::{Authority, Pair};
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use rustls::{AlertDescription, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A policy with one listener `api` in front of one server.
fn policy(server: SocketAddr, client_auth: &str) -> String {
    policy_of("{ upstream = \"app\" }", server, client_auth)
}

fn policy_of(routes: &str, server: SocketAddr, client_auth: &str) -> String {
    format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
routes = [{routes}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
client_auth = {{ {client_auth} }}
[[upstream]]
name = "app"
servers = ["{server}"]
"#
    )
}

/// What a test that needs certificates begins with.
struct World {
    /// Who vouches for the edge.
    servers: Authority,
    /// Who vouches for clients.
    clients: Authority,
    edge: Edge,
}

/// An edge with `policy`, whose `clients.pem` is the bundle of a new authority and whose other files are `files`.
fn world(test: &str, policy: &str, clients: Authority, files: &[(&str, &str)]) -> World {
    let servers = Authority::named("Ravelin test servers");
    let pair = servers.issue(&[NAME, "*.example.com"]);
    let bundle = clients.pem();
    let mut all = vec![("clients.pem", bundle.as_str())];
    all.extend(files.iter().filter(|(name, _)| *name != "clients.pem"));
    all.extend(files.iter().filter(|(name, _)| *name == "clients.pem"));
    let edge = Edge::start_with(test, policy, &[("api", &pair)], &all);
    World {
        servers,
        clients,
        edge,
    }
}

impl World {
    /// One request; what came back, or the error.
    fn ask(&self, version: Version, pair: Option<&Pair>) -> io::Result<String> {
        let client = Client::showing(&self.servers, version.0, pair);
        ask(&client, self.edge.address("api"), NAME)
    }

    /// The value of `ravelin_edge_client_auth_total`.
    fn counted(&self, result: &str) -> f64 {
        self.edge.metric(&format!(
            "ravelin_edge_client_auth_total{{listener=\"api\",result=\"{result}\"}}"
        ))
    }

    /// Waits until that many clients are counted so.
    #[track_caller]
    fn expect_counted(&self, result: &str, count: usize) {
        wait::until(&format!("{count} {result}"), SOON, || {
            (self.counted(result) == count as f64).then_some(())
        });
    }
}

/// One request and its answer.
fn ask(client: &Client, to: SocketAddr, name: &str) -> io::Result<String> {
    runtime().block_on(async {
        let mut stream = client.connect(to, name).await?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    })
}

/// The alert that ended it.
#[track_caller]
fn alert(outcome: io::Result<String>) -> AlertDescription {
    let error = outcome.expect_err("refused");
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert: {error:?}"),
    }
}

/// SHA-256 of the key, as `allow_spki` takes it.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let mut openssl = std::process::Command::new("sh")
        .args(["-c", "openssl x509 -inform DER -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let mut input = openssl.stdin.take().expect("piped");
    io::Write::write_all(&mut input, certificate).expect("written");
    drop(input);
    let output = openssl.wait_with_output().expect("openssl ends");
    String::from_utf8_lossy(&output.stdout)[..64].to_owned()
}

/// A version alone, and what openssl calls it.
#[derive(Clone, Copy)]
struct Version(&'static [&'static SupportedProtocolVersion], &'static str);

const TLS12: Version = Version(&[&rustls::version::TLS12], "-tls1_2");
const TLS13: Version = Version(&[&rustls::version::TLS13], "-tls1_3");
const VERSIONS: [Version; 2] = [TLS12, TLS13];

/// The name in the certificates of these tests.
const NAME: &str = "api.example.com";

const REQUIRED: &str = "mode = \"required\", ca = \"clients.pem\"";

/// Nothing here takes this long unless it hangs.
const SOON: Duration = Duration::from_secs(20);
