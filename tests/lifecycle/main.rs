//! From start to end: who may stay after a reload, what is kept of broken files, timeouts, drain, logs, sockets that come from elsewhere,
//! and a new process in place of the old one.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod access_log;
mod activation;
mod certificates;
mod drain;
mod review;
mod timeouts;
mod upgrade;
mod world;

use std::net::SocketAddr;
use std::time::Duration;

/// A policy with one listener `api` in front of one server. `listener` are keys of the listener itself.
fn policy(server: SocketAddr, listener: &str, limits: &str) -> String {
    format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
routes = [{{ upstream = "app" }}]
{listener}
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
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
