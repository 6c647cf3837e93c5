//! One TLS handshake, from the first byte to the session.
//!
//! permit → **handshake** → route. The server name is read before a certificate is chosen, so that an unknown one can be
//! answered with the alert made for it. The caller bounds the time.

use std::io;
use std::sync::Arc;

use rustls::{HandshakeKind, NamedGroup, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::client_auth::{Examination, Identity, Refused};
use super::config::normal;
use super::socket::ClientSocket;
use crate::metrics::labels::{ClientAcceptance, Group, HandshakeFailure, Version};

/// A finished handshake.
#[derive(Debug)]
pub(crate) struct Session<R> {
    /// The encrypted stream.
    pub(crate) stream: TlsStream<ClientSocket>,
    /// What the client asked for, lower case.
    pub(crate) server_name: Option<String>,
    /// What belongs to that name.
    pub(crate) route: R,
    /// The protocol version.
    pub(crate) version: Version,
    /// How keys were exchanged; `None`: they were not (TLS 1.2, resumed).
    pub(crate) group: Option<Group>,
    /// Whether an earlier session was resumed.
    pub(crate) resumed: bool,
    /// Why the client's certificate, or its lack of one, lets it in; `None` when it was not asked.
    pub(crate) acceptance: Option<ClientAcceptance>,
    /// Who the client has proven to be.
    pub(crate) identity: Option<Identity>,
}

/// What belongs to a server name.
#[derive(Debug)]
pub(crate) struct Choice<R> {
    /// Where the connection goes.
    pub(crate) route: R,
    /// How the handshake is done.
    pub(crate) config: Arc<ServerConfig>,
    /// Who examines the client, where `config` asks it for a certificate.
    pub(crate) examination: Option<Arc<Examination>>,
}

/// Why there is no session. The client is at fault, or gone.
#[derive(Debug)]
pub(crate) enum HandshakeEnd {
    /// It hung up without a byte.
    ClosedEarly,
    /// It began, and hung up.
    HungUp,
    /// The handshake failed.
    Failed(HandshakeFailure, io::Error),
    /// The first byte is not of TLS.
    NotTls,
    /// It was asked for a certificate, and is not let in; with the server name it asked for.
    Refused(Refused, Option<String>),
    /// The name has no route.
    UnknownName,
}

/// Reads the `ClientHello`, asks `choose` what belongs to the server name in it, and shakes hands.
pub(crate) async fn handshake<R>(
    stream: TcpStream,
    choose: impl FnOnce(Option<&str>) -> Option<Choice<R>>,
) -> Result<Session<R>, HandshakeEnd> {
    // rustls answers what is not TLS with an alert. Whoever speaks something else gets nothing back: the listener is of no
    // use to reflect bytes to a third party, or to tell what listens here.
    let mut first = [0; OLD_HELLO];
    match stream.peek(&mut first).await {
        Ok(0) | Err(_) => return Err(HandshakeEnd::ClosedEarly),
        // Unread bytes make the kernel reset the connection, which is what this peer should see.
        Ok(_) if first[0] != HANDSHAKE_RECORD => return Err(HandshakeEnd::NotTls),
        // rustls would complain of what such a hello lacks, not of its age.
        Ok(OLD_HELLO) if is_old(&first) => {
            drop(read_and_tell(stream, PROTOCOL_VERSION).await);
            let old = rustls::PeerIncompatible::Tls12NotOffered;
            return Err(HandshakeEnd::Failed(
                HandshakeFailure::Incompatible,
                io::Error::other(rustls::Error::from(old)),
            ));
        }
        Ok(_) => {}
    }
    let mut start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), ClientSocket(stream))
        .await
        .map_err(end)?;
    let server_name = start.client_hello().server_name().map(normal);
    let Some(choice) = choose(server_name.as_deref()) else {
        drop(tell(&mut start.io, UNRECOGNIZED_NAME).await);
        return Err(HandshakeEnd::UnknownName);
    };
    let Choice {
        route,
        config,
        examination,
    } = choice;
    let bounded = |session: &mut rustls::ServerConnection| session.set_buffer_limit(Some(SEND_BUFFER_BYTES));
    let stream = match start.into_stream_with(config, bounded).await {
        Ok(stream) => stream,
        Err(error) => {
            let refused = tls_error(&error).and_then(|error| examination.as_ref()?.refused(error));
            return Err(match refused {
                Some(refused) => HandshakeEnd::Refused(refused, server_name),
                None => end(error),
            });
        }
    };
    let (_, session) = stream.get_ref();
    let concluded = examination.map(|examination| examination.conclude(session.peer_certificates()));
    let (acceptance, identity) = match concluded.transpose() {
        Ok(concluded) => concluded.unzip(),
        Err(refused) => return Err(HandshakeEnd::Refused(refused, server_name)),
    };
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => Version::Tls13,
        _ => Version::Tls12,
    };
    let group = session
        .negotiated_key_exchange_group()
        .map(|group| named(group.name()));
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok(Session {
        stream,
        server_name,
        route,
        version,
        group,
        resumed,
        acceptance,
        identity: identity.flatten(),
    })
}

/// Whether the hello that begins with these bytes is of a version before TLS 1.2. In a record that ends before the version, other bytes
/// stand in its place.
fn is_old(first: &[u8; OLD_HELLO]) -> bool {
    let [_, _, _, high, low, message, _, _, _, version @ ..] = *first;
    let whole = usize::from(u16::from_be_bytes([high, low])) >= OLD_HELLO - RECORD_HEADER;
    whole && message == CLIENT_HELLO && version < TLS_1_2
}

fn named(group: NamedGroup) -> Group {
    match group {
        NamedGroup::X25519MLKEM768 => Group::X25519MlKem768,
        NamedGroup::X25519 => Group::X25519,
        NamedGroup::secp256r1 => Group::Secp256r1,
        NamedGroup::secp384r1 => Group::Secp384r1,
        _ => Group::Other,
    }
}

/// Sends an alert and closes. An alert that does not arrive changes nothing: the connection ends either way.
async fn tell(stream: &mut TcpStream, alert: &[u8]) -> io::Result<()> {
    stream.write_all(alert).await?;
    stream.shutdown().await
}

/// The same for a client whose hello was only looked at: closing with the hello unread would reset the connection, and the
/// reset can overtake the alert.
async fn read_and_tell(mut stream: TcpStream, alert: &[u8]) -> io::Result<()> {
    tell(&mut stream, alert).await?;
    stream.read(&mut [0; 2048]).await.map(drop)
}

fn end(error: io::Error) -> HandshakeEnd {
    use rustls::Error;
    let failure = match tls_error(&error) {
        None => return HandshakeEnd::HungUp,
        Some(Error::AlertReceived(_)) => HandshakeFailure::ClientAlert,
        Some(Error::NoApplicationProtocol) => HandshakeFailure::NoApplicationProtocol,
        Some(Error::PeerIncompatible(_)) => HandshakeFailure::Incompatible,
        Some(Error::InvalidMessage(_) | Error::DecryptError) => HandshakeFailure::Malformed,
        Some(
            Error::PeerMisbehaved(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerSentOversizedRecord,
        ) => HandshakeFailure::Violation,
        Some(_) => HandshakeFailure::Other,
    };
    HandshakeEnd::Failed(failure, error)
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// `ContentType` handshake, RFC 9846 section 5.1.
const HANDSHAKE_RECORD: u8 = 22;

/// Of a record: type, version, length.
const RECORD_HEADER: usize = 5;

/// A handshake message that opens a connection.
const CLIENT_HELLO: u8 = 1;

/// The bytes up to and with the version in a `ClientHello`: record header (5), message header (4), version (2).
const OLD_HELLO: usize = 11;

/// TLS 1.2, and what TLS 1.3 calls itself here.
const TLS_1_2: [u8; 2] = [3, 3];

/// An alert record: TLS 1.2 on the wire, fatal, `protocol_version` (70).
const PROTOCOL_VERSION: &[u8] = &[21, 3, 3, 0, 2, 2, 70];

/// The same with `unrecognized_name` (112), RFC 6066 section 3.
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];

/// What rustls may hold back for a client that does not read: what one write of the relay brings.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
