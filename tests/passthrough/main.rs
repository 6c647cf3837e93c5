//! TLS that goes through the edge to an upstream that ends it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod bounds;
mod clients;
mod seeds;

use std::net::SocketAddr;
use std::time::Duration;

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::edge::Edge;
use ravelin_tests::hello::captured;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;

/// What the upstream ends.
const DB: &str = "db.example.com";

/// What the edge ends.
const API: &str = "api.example.com";

/// Nothing here takes this long unless it hangs.
const SOON: Duration = Duration::from_secs(20);

/// A listener `api` that passes one name through and ends TLS for another.
fn policy(db: SocketAddr, api: SocketAddr, limits: &str) -> String {
    format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
routes = [{{ sni = "{DB}", upstream = "db", passthrough = true }}, {{ sni = "{API}", upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[listener.limits]
{limits}
[[upstream]]
name = "app"
servers = ["{api}"]
[[upstream]]
name = "db"
servers = ["{db}"]
"#
    )
}

/// A listener `through` without a certificate, that passes everything through to `db`.
fn without_certificate(db: SocketAddr, limits: &str, upstream: &str) -> String {
    format!(
        r#"
[[listener]]
name = "through"
bind = ["127.0.0.1:0"]
routes = [{{ sni = "{DB}", upstream = "db", passthrough = true }}]
limits = {{ {limits} }}
[[upstream]]
name = "db"
servers = ["{db}"]
{upstream}
"#
    )
}

struct World {
    authority: Authority,
    edge: Edge,
    db: Backend,
    app: Backend,
}

fn world(test: &str) -> World {
    let authority = Authority::new();
    let db = Backend::https(&authority.issue(&[DB]), "ended behind");
    let app = Backend::http("ended here");
    let edge = Edge::start(
        test,
        &policy(db.address(), app.address(), ""),
        &[("api", &authority.issue(&[API]))],
    );
    World {
        authority,
        edge,
        db,
        app,
    }
}

/// What rustls says first, to `name`: with keys against quantum computers, so longer than a segment.
fn hello(name: &'static str) -> Vec<u8> {
    let client = Client::new(&Authority::new());
    captured(move |to| {
        let refused = runtime().block_on(client.connect(to, name));
        assert!(refused.is_err(), "nobody answers");
    })
}
