//! Clients that come through a proxy: HAProxy, and headers made by hand.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod clients;
mod haproxy;
mod headers;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ravelin_tests::backend::Backend;
use ravelin_tests::client::{Client, connect_from};
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const NAME: &str = "api.example.com";

/// Nothing here takes this long unless it hangs.
const SOON: Duration = Duration::from_secs(20);

/// Where trusted proxies connect from.
const PROXY: &str = "127.0.0.2";

/// Not trusted.
const STRANGER: &str = "127.0.0.3";

/// A header of version 1 for a client that is nowhere near.
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.2 4660 443\r\n";

struct World {
    authority: Authority,
    edge: Edge,
    client: Client,
    backend: Backend,
}

/// A listener `api` behind proxies, in front of a server that says what it heard of the client.
fn world(test: &str, listener: &str, limits: &str) -> World {
    let authority = Authority::new();
    let backend = Backend::new(tell_the_client);
    let policy = format!(
        r#"
[[set]]
name = "proxies"
entries = ["{PROXY}"]
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
proxy_protocol = "require"
trusted_proxies = ["@proxies", "127.0.0.1"]
routes = [{{ upstream = "app" }}]
{listener}
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[listener.limits]
{limits}
[[upstream]]
name = "app"
servers = ["{}"]
proxy_protocol = "v2"
"#,
        backend.address()
    );
    let edge = Edge::start(test, &policy, &[("api", &authority.issue(&[NAME]))]);
    World {
        client: Client::new(&authority),
        authority,
        edge,
        backend,
    }
}

/// Answers with the addresses in the header that the edge writes, in IPv4 or IPv6, when the client sends a line.
async fn tell_the_client(mut stream: TcpStream) -> io::Result<()> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[14], head[15]]))];
    stream.read_exact(&mut body).await?;
    let socket = |address: &[u8], port: &[u8]| -> SocketAddr {
        let port = u16::from_be_bytes([port[0], port[1]]);
        match <[u8; 4]>::try_from(address) {
            Ok(v4) => (v4, port).into(),
            Err(_) => (<[u8; 16]>::try_from(address).expect("an address"), port).into(),
        }
    };
    let size = if head[13] == 0x11 { 4 } else { 16 };
    let ports = &body[2 * size..];
    let (client, local) = (
        socket(&body[..size], ports),
        socket(&body[size..2 * size], &ports[2..]),
    );
    let mut byte = [0];
    while byte != *b"\n" {
        if stream.read(&mut byte).await? == 0 {
            return Ok(());
        }
    }
    let said = format!("{client} to {local}");
    let length = said.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{said}");
    stream.write_all(answer.as_bytes()).await?;
    // What is left of a request is read, or closing would reset the connection.
    stream.shutdown().await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

impl World {
    fn to(&self) -> SocketAddr {
        self.edge.address("api")
    }

    fn headers(&self, result: &str) -> f64 {
        self.edge.metric(&format!(
            "ravelin_edge_proxy_headers_total{{listener=\"api\",result=\"{result}\"}}"
        ))
    }

    fn refused(&self, reason: &str) -> f64 {
        self.edge.metric(&format!(
            "ravelin_edge_refused_total{{listener=\"api\",reason=\"{reason}\"}}"
        ))
    }

    /// A TLS session behind `header`, sent in one piece from a proxy.
    async fn behind(&self, header: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        let mut stream = connect_from(PROXY, self.to()).await?;
        stream.write_all(header).await?;
        self.client.shake(stream, NAME).await
    }
}

/// What the server says of the client.
async fn heard(mut stream: TlsStream<TcpStream>) -> io::Result<String> {
    stream.write_all(b"\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok(body.to_owned())
}

/// A header of version 2.
fn v2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([version_command, family]);
    header.extend(u16::try_from(body.len()).expect("a body").to_be_bytes());
    header.extend(body);
    header
}

/// The same client as in [`V1`], with extensions.
fn v2_client() -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 198, 51, 100, 2, 0x12, 0x34, 0x01, 0xbb];
    v2(
        0x21,
        0x11,
        &[&addresses[..], b"\x02\x00\x01a\xee\x00\x00"].concat(),
    )
}

/// What both say.
const CLIENT: &str = "192.0.2.7:4660 to 198.51.100.2:443";
