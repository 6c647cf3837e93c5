//! The edge with real clients and servers on loopback: handshakes, names, relay, reload, and clients that mean harm.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod abuse;
mod framing;
mod handshakes;
mod hello;
mod hostile;
mod keys;
mod names;
mod relay;
mod reload;
mod room;
mod staple;
mod tickets;

use std::net::SocketAddr;
use std::time::Duration;

/// A policy with one listener `api` in front of one server.
fn policy(server: SocketAddr, tls: &str, limits: &str) -> String {
    format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
routes = [{{ upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
{tls}
[listener.limits]
{limits}
[[upstream]]
name = "app"
servers = ["{server}"]
"#
    )
}

/// The name in the certificates of these tests.
const NAME: &str = "api.example.com";

/// Nothing here takes this long unless it hangs.
const SOON: Duration = Duration::from_secs(20);
