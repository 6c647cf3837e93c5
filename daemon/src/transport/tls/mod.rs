//! TLS: what the server proves, to whom, in which versions.
//!
//! limit → **tls** → relay. `certificate` reads the pairs, `sni` finds what belongs to a server name, `config` puts a listener's
//! settings together, `tickets` lets clients come back, `handshake` carries it all out. Knows no routes' upstreams and no limits.

mod certificate;
mod config;
mod handshake;
mod sni;
mod staple;
mod tickets;

pub use certificate::{Certificate, CertificateError};
pub use config::TlsError;
pub(super) use config::server_config;
pub(super) use handshake::{HandshakeEnd, Session, handshake};
pub(super) use sni::NameMap;
pub use tickets::TicketKeys;
