//! TLS: what the server proves, to whom, in which versions.
//!
//! limit → **tls** → relay. `certificate` reads the pairs, `sni` finds what belongs to a server name, `config` puts a listener's
//! settings together, `handshake` carries them out. `connector` is the other side: TLS towards servers, with `authorities` to trust. Knows no routes' upstreams and no limits.

mod authorities;
mod certificate;
mod config;
mod connector;
mod handshake;
mod sni;

pub use authorities::AuthorityError;
pub use certificate::{Certificate, CertificateError};
pub(super) use config::server_config;
pub use config::{Tickets, TlsError, tickets};
pub(super) use connector::Connector;
pub use connector::ConnectorError;
pub(super) use handshake::{HandshakeEnd, Session, handshake};
pub(super) use sni::NameMap;
