//! TLS: what the server proves, to whom, in which versions.
//!
//! limit → **tls** → relay. `certificate` reads the pairs, `sni` finds what belongs to a server name, `config` puts a listener's
//! settings together, `hello` is what a client begins with, `handshake` carries the settings out. Knows no routes' upstreams and no limits.

mod certificate;
mod config;
mod handshake;
pub mod hello;
mod sni;

pub use certificate::{Certificate, CertificateError};
pub(super) use config::server_config;
pub use config::{Tickets, TlsError, tickets};
pub(super) use handshake::{HandshakeEnd, Session, handshake, read_hello, refuse_name};
pub(super) use sni::NameMap;
