//! One TLS handshake, from the first byte to the session.
//!
//! permit → **handshake** → route. The `ClientHello` is read before it is known who ends TLS, so that a route can be chosen by it, an
//! unknown name answered with the alert made for it, and a hello passed on as it came. The caller bounds the time.

use std::io;
use std::sync::Arc;

use rustls::server::Acceptor;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion, ServerConfig};
use tokio_rustls::server::{StartHandshake, TlsStream};

use super::client_auth::{Examination, Identity, Refused};
use super::hello::{self, Hello, Unparsed};
use super::socket::ClientSocket;
use crate::metrics::labels::{ClientAcceptance, Group, HandshakeFailure, Version};
use crate::transport::accept::reset;
use crate::transport::ahead::{Ahead, part};
use crate::transport::hello_memory::NoRoom;

/// A finished handshake.
#[derive(Debug)]
pub(crate) struct Session {
    /// The encrypted stream.
    pub(crate) stream: TlsStream<ClientSocket>,
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
    /// It was asked for a certificate, and is not let in.
    Refused(Refused),
    /// The name has no route.
    UnknownName,
}

/// Reads until the whole `ClientHello` is there, and takes nothing of it.
pub(crate) async fn read_hello(ahead: &mut Ahead) -> Result<Hello, HandshakeEnd> {
    loop {
        match hello::parse(ahead.bytes()) {
            Ok(hello) => return Ok(hello),
            Err(Unparsed::Incomplete(_)) => match ahead.read().await {
                Ok(true) => {}
                Err(error) if NoRoom::is_behind(&error) => {
                    return Err(fail(ahead, INTERNAL_ERROR, HandshakeFailure::NoRoom, NoRoom).await);
                }
                _ if ahead.bytes().is_empty() => return Err(HandshakeEnd::ClosedEarly),
                _ => return Err(HandshakeEnd::HungUp),
            },
            // Whoever speaks something else gets nothing back: the listener is of no use to reflect bytes to a third party, or to
            // tell what listens here.
            Err(Unparsed::NotTls) => {
                reset(ahead.stream());
                return Err(HandshakeEnd::NotTls);
            }
            Err(wrong @ Unparsed::NotHello) => {
                return Err(fail(ahead, UNEXPECTED_MESSAGE, HandshakeFailure::Violation, wrong).await);
            }
            Err(wrong @ (Unparsed::Malformed | Unparsed::TooLarge)) => {
                return Err(fail(ahead, DECODE_ERROR, HandshakeFailure::Malformed, wrong).await);
            }
        }
    }
}

/// Answers a hello whose name has no route.
pub(crate) async fn refuse_name(ahead: &mut Ahead, legacy_version: u16) -> HandshakeEnd {
    if let Some(end) = refuse_version(ahead, legacy_version).await {
        return end;
    }
    ahead.answer(UNRECOGNIZED_NAME).await;
    HandshakeEnd::UnknownName
}

/// rustls would complain of what such a hello lacks, not of its age.
async fn refuse_version(ahead: &mut Ahead, legacy_version: u16) -> Option<HandshakeEnd> {
    if legacy_version >= TLS_1_2 {
        return None;
    }
    let error = rustls::Error::from(rustls::PeerIncompatible::Tls12NotOffered);
    Some(fail(ahead, PROTOCOL_VERSION, HandshakeFailure::Incompatible, error).await)
}

/// Shakes hands with a client whose hello was read. `examination` is there where `config` asks for a certificate.
pub(crate) async fn handshake(
    mut ahead: Ahead,
    legacy_version: u16,
    config: Arc<ServerConfig>,
    examination: Option<Arc<Examination>>,
) -> Result<Session, HandshakeEnd> {
    if let Some(end) = refuse_version(&mut ahead, legacy_version).await {
        return Err(end);
    }
    let mut acceptor = Acceptor::default();
    let mut unread = ahead.bytes();
    let accepted = loop {
        // Some thousand bytes at a time; what it has no room for is more than it reads of a hello.
        let fed = acceptor.read_tls(&mut unread);
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) if matches!(fed, Ok(1..)) => {}
            Ok(None) => {
                let failure = HandshakeFailure::Malformed;
                return Err(fail(&mut ahead, DECODE_ERROR, failure, Unparsed::TooLarge).await);
            }
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                // A vector takes everything.
                drop(alert.write_all(&mut bytes));
                ahead.answer(&bytes).await;
                return Err(end(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
        }
    };
    // What a client sends behind its hello without waiting (early data, which nobody takes) is for the session.
    let behind = unread.to_vec();
    let (stream, held) = ahead.into_parts();
    let socket = ClientSocket::new(stream, held.into_share());
    let mut fed = Ok(());
    let prepare = |session: &mut rustls::ServerConnection| {
        session.set_buffer_limit(Some(SEND_BUFFER_BYTES));
        let mut behind = behind.as_slice();
        while !behind.is_empty() && fed.is_ok() {
            fed = session.read_tls(&mut behind).map(drop);
        }
    };
    let shaking = StartHandshake::from_parts(accepted, socket).into_stream_with(config, prepare);
    if let Err(error) = fed {
        return Err(HandshakeEnd::Failed(HandshakeFailure::Violation, error));
    }
    let mut stream = match shaking.into_fallible().await {
        Ok(stream) => stream,
        Err((error, mut socket)) => {
            if tls_error(&error).is_some() {
                // rustls has sent its alert.
                part(&mut socket).await;
            }
            let refused = tls_error(&error).and_then(|error| examination.as_ref()?.refused(error));
            return Err(refused.map_or_else(|| end(error), HandshakeEnd::Refused));
        }
    };
    stream.get_mut().0.settle();
    let (_, session) = stream.get_ref();
    let concluded = examination.map(|examination| examination.conclude(session.peer_certificates()));
    let concluded = concluded.transpose().map_err(HandshakeEnd::Refused)?;
    let (acceptance, identity) = concluded.unzip();
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
        version,
        group,
        resumed,
        acceptance,
        identity: identity.flatten(),
    })
}

async fn fail(
    ahead: &mut Ahead,
    alert: &[u8],
    failure: HandshakeFailure,
    error: impl std::error::Error + Send + Sync + 'static,
) -> HandshakeEnd {
    ahead.answer(alert).await;
    HandshakeEnd::Failed(failure, io::Error::other(error))
}

fn end(error: io::Error) -> HandshakeEnd {
    use rustls::Error;
    if NoRoom::is_behind(&error) {
        return HandshakeEnd::Failed(HandshakeFailure::NoRoom, error);
    }
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

fn named(group: NamedGroup) -> Group {
    match group {
        NamedGroup::X25519MLKEM768 => Group::X25519MlKem768,
        NamedGroup::X25519 => Group::X25519,
        NamedGroup::secp256r1 => Group::Secp256r1,
        NamedGroup::secp384r1 => Group::Secp384r1,
        _ => Group::Other,
    }
}

/// TLS 1.2, and what TLS 1.3 calls itself here.
const TLS_1_2: u16 = 0x0303;

/// An alert record: TLS 1.2 on the wire, fatal, `protocol_version` (70).
const PROTOCOL_VERSION: &[u8] = &[21, 3, 3, 0, 2, 2, 70];

/// The same with `unexpected_message` (10).
const UNEXPECTED_MESSAGE: &[u8] = &[21, 3, 3, 0, 2, 2, 10];

/// The same with `decode_error` (50).
const DECODE_ERROR: &[u8] = &[21, 3, 3, 0, 2, 2, 50];

/// The same with `internal_error` (80).
const INTERNAL_ERROR: &[u8] = &[21, 3, 3, 0, 2, 2, 80];

/// The same with `unrecognized_name` (112), RFC 6066 section 3.
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];

/// What rustls may hold back for a client that does not read: what one write of the relay brings.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
