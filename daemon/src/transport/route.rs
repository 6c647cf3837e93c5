//! One route as it is served: where its connections go, and what is asked of their clients.
//!
//! listener → **route** → connection.

use std::sync::Arc;

use ravelin_rules::policy::{ClientAuth, ClientAuthMode};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::tls::{ClientAuthError, Examination, Trust};
use super::upstream::Upstream;
use crate::metrics::labels::ClientRefusal;

/// What belongs to a server name.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) upstream: Arc<Upstream>,
    pub(super) asking: Asking,
    /// The upstream ends TLS.
    pub(super) passthrough: bool,
}

/// Whether clients are asked for a certificate, and whose are let in. Who is to be asked but could not be judged has no value here.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    mode: ClientAuthMode,
    /// There wherever `mode` asks; may be there for the sake of other routes.
    trust: Option<Arc<Trust>>,
}

impl Asking {
    /// What the listener asks of clients whose route says nothing of its own.
    pub(super) fn load(
        policy: Option<&ClientAuth>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, ClientAuthError> {
        let trust = policy.map(|policy| Trust::load(policy, provider)).transpose()?;
        Ok(Self {
            mode: policy.map_or(ClientAuthMode::None, |policy| policy.mode),
            trust: trust.map(Arc::new),
        })
    }

    /// The same with the mode of a route.
    pub(super) fn of(&self, mode: ClientAuthMode) -> Result<Self, ClientAuthError> {
        if mode != ClientAuthMode::None && self.trust.is_none() {
            return Err(ClientAuthError::Unasked);
        }
        Ok(Self {
            mode,
            trust: self.trust.clone(),
        })
    }

    /// Who examines the client of one connection; `None`: it is not asked.
    pub(super) fn examination(&self) -> Option<Arc<Examination>> {
        match (self.mode, &self.trust) {
            (ClientAuthMode::None, _) | (_, None) => None,
            (mode, Some(trust)) => Some(Examination::new(trust, mode == ClientAuthMode::Required)),
        }
    }

    /// Whether a client that has shown `chain` would be let in now.
    pub(super) fn still_accept(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), ClientRefusal> {
        match (self.mode, &self.trust) {
            (ClientAuthMode::None, _) | (_, None) => Ok(()),
            (ClientAuthMode::Optional, Some(_)) if chain.is_empty() => Ok(()),
            (_, Some(trust)) => trust.accepts(chain, now).map(drop),
        }
    }
}
