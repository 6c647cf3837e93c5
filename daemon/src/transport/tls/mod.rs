//! TLS: what the server proves, to whom, in which versions.
//!
//! limit → **tls** → relay. `certificate` reads the pairs, `last_good` keeps those that cannot be read any more, `sni` finds what belongs to a server name, `config` puts a listener's
//! settings together, `handshake` carries them out. Knows no routes' upstreams and no limits.

mod certificate;
mod config;
mod handshake;
mod last_good;
mod sni;

pub use certificate::{Certificate, CertificateError};
pub(super) use config::server_config;
pub use config::{Tickets, TlsError, tickets};
pub(super) use handshake::{HandshakeEnd, Session, handshake};
pub(super) use last_good::{KeptPair, last_good};
pub(super) use sni::NameMap;
