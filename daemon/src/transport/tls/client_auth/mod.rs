//! TLS two-way: whose certificates clients may show, and which of those are let in.
//!
//! policy → **client_auth** → handshake. `authorities` says who vouches, `revoked` who no longer counts, `names` whom a
//! certificate is for; `trust` puts them together and judges a chain, `examination` does so inside one handshake. Fails closed: what
//! cannot be read whole is not used at all, and who was not examined is not let in. Knows no routes and no connections.

mod authorities;
mod error;
mod examination;
mod names;
mod printable;
mod reason;
mod revoked;
mod signature;
mod trust;

pub use error::ClientAuthError;
pub(crate) use examination::{Examination, Identity, Refused};
pub(crate) use trust::Trust;
