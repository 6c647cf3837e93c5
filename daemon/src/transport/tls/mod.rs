//! TLS: what the server proves, to whom, in which versions.
//!
//! limit → **tls** → relay. `certificate` reads the pairs, `sni` finds what belongs to a server name, `config` puts a listener's
//! settings together, `handshake` carries them out. Knows no routes' upstreams and no limits.

mod certificate;
mod config;
mod handshake;
mod sni;

pub use certificate::{Certificate, CertificateError};
pub(super) use config::server_config;
pub use config::{Tickets, TlsError, tickets};
pub(super) use handshake::{HandshakeEnd, Session, handshake};
pub(super) use sni::NameMap;
