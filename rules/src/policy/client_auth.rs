//! `[listener.tls] client_auth`: who is asked for a certificate, and whose are let in.

use std::path::{Path, PathBuf};

use super::identity::Identities;

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// They are not asked.
    #[default]
    None,
    /// They are asked, and need not show one.
    Optional,
    /// Who shows none is refused.
    Required,
}

/// Whose certificates are let in, where a listener or a route of it asks for them. Paths are resolved.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// `mode`, of connections whose route says nothing else.
    pub mode: ClientAuthMode,
    /// `ca`: a PEM bundle.
    pub ca: PathBuf,
    /// `crl`: PEM revocation lists; empty: nothing is revoked.
    pub crl: Vec<PathBuf>,
    /// `crl_policy`.
    pub crl_policy: CrlPolicy,
    /// The `allow` lists.
    pub allow: Identities,
}

impl ClientAuth {
    /// Every file that is read for it.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.ca).chain(&self.crl).map(PathBuf::as_path)
    }
}

/// What a certificate gets whose revocation status cannot be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrlPolicy {
    /// It is let in and counted.
    Soft,
    /// It is refused.
    #[default]
    Strict,
}
