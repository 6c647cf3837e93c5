//! TLS towards the servers of an upstream: whom the edge trusts there, and what it shows.
//!
//! policy → **connector** → reach. Every connection is verified in full: no session is resumed, so that a certificate that has
//! expired, or is another one since, gets nobody in.

use std::io;
use std::sync::Arc;

use ravelin_rules::policy::UpstreamTls;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authorities::{AuthorityError, authorities};
use super::certificate::{Certificate, CertificateError, OpenKeys};

/// How the servers of an upstream are spoken to.
pub(crate) struct Connector {
    tls: TlsConnector,
    server_name: ServerName<'static>,
    /// `alpn` says what is offered; else it is what the client speaks.
    offers_own: bool,
}

impl Connector {
    /// Reads the files and puts the settings together.
    pub(crate) fn load(policy: &UpstreamTls, provider: &Arc<CryptoProvider>) -> Result<Self, ConnectorError> {
        let server_name =
            ServerName::try_from(policy.server_name.clone()).map_err(|source| ConnectorError::Name {
                name: policy.server_name.clone(),
                source,
            })?;
        let trusting = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|source| ConnectorError::Versions { source })?
            .with_root_certificates(authorities(&policy.ca)?);
        let mut config = match &policy.certificate {
            None => trusting.with_no_client_auth(),
            Some(files) => {
                let pair = Certificate::load(files, OpenKeys::Refused, provider)?;
                trusting.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.key.plain)))
            }
        };
        config.resumption = Resumption::disabled();
        let own = policy.alpn.iter().flatten();
        config.alpn_protocols = own.map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            server_name,
            offers_own: policy.alpn.is_some(),
        })
    }

    /// Shakes hands with the server at the other end. `spoken` is the application protocol of the client. The caller bounds the
    /// time.
    pub(crate) async fn shake(
        &self,
        stream: TcpStream,
        spoken: Option<&[u8]>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = self.server_name.clone();
        let bounded = |session: &mut ClientConnection| session.set_buffer_limit(Some(SEND_BUFFER_BYTES));
        match spoken.filter(|_| !self.offers_own) {
            Some(spoken) => {
                let tls = self.tls.with_alpn(vec![spoken.to_vec()]);
                tls.connect_with(name, stream, bounded).await
            }
            None => self.tls.connect_with(name, stream, bounded).await,
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Why servers cannot be spoken to as the policy asks. The operator is at fault.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The certificates of `ca`.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The certificate to show.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No certificate holds such a name.
    #[error("`{name}` cannot be the name of a server")]
    Name {
        /// The name.
        name: String,
        /// What the library said.
        source: InvalidDnsNameError,
    },
    /// No version left.
    #[error("the TLS library supports none of the versions asked for")]
    Versions {
        /// What the library said.
        source: rustls::Error,
    },
}

/// What rustls may hold back for a server that does not read.
const SEND_BUFFER_BYTES: usize = 16 * 1024;
