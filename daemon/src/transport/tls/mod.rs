//! TLS: what the server proves, to whom, in which versions.
//!
//! limit → **tls** → relay. `file` reads what the operator has written, `certificate` the pairs, `last_good` keeps those that cannot be read any more, `staple` what vouches for
//! them, `sni` finds what belongs to a server name, `client_auth` judges what clients prove, `tickets` lets clients come back, `config`
//! puts a listener's settings together, `hello` is what a client begins with, `handshake` carries the settings out. `connector` is the
//! other side: TLS towards servers, with `authorities` to trust. Knows no routes' upstreams and no limits.

mod authorities;
mod certificate;
mod client_auth;
mod config;
mod connector;
mod file;
mod handshake;
pub mod hello;
mod last_good;
mod sni;
mod socket;
mod staple;
mod tickets;

pub use authorities::AuthorityError;
pub use certificate::{Certificate, CertificateError, OpenKeys};
pub use client_auth::ClientAuthError;
pub(super) use client_auth::{Examination, Identity, Refused, Trust};
pub(super) use config::Settings;
pub use config::TlsError;
pub(super) use connector::Connector;
pub use connector::ConnectorError;
pub use file::FileError;
pub(super) use handshake::{HandshakeEnd, Session, handshake, read_hello, refuse_name};
pub(super) use last_good::{KeptPair, last_good};
pub(super) use sni::NameMap;
pub use tickets::TicketKeys;
