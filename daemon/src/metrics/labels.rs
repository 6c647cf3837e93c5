//! The words that stand in labels: closed sets, one enum each.
//!
//! transport → **labels** → registry. Never from the network: a peer cannot make a series.

/// A closed set of label values: an enum whose variants know their word.
pub trait LabelValue: Copy + 'static {
    /// Every value, in the order of declaration.
    const ALL: &'static [Self];

    /// The label value.
    fn word(self) -> &'static str;

    /// Where it stands in `ALL`.
    fn index(self) -> usize;
}

macro_rules! label_values {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl LabelValue for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label_values! {
    /// How a connection ended. Every accepted connection ends in exactly one of these.
    Closure {
        /// It hung up while it waited for its turn.
        Abandoned = "abandoned",
        /// It showed no certificate that lets it in; `ravelin_edge_client_auth_total` says why.
        ClientRefused = "client_refused",
        /// One side had finished sending, and the other sent no byte for `close_timeout`.
        CloseTimeout = "close_timeout",
        /// It hung up before the handshake was done.
        ClosedEarly = "closed_early",
        /// Both sides closed in order.
        Completed = "completed",
        /// The client's connection broke.
        ClientReset = "client_reset",
        /// No server of the upstream answered, the last one not in `connect_timeout`.
        ConnectTimeout = "connect_timeout",
        /// The TLS handshake failed; `ravelin_edge_handshake_failures_total` says why.
        HandshakeFailed = "handshake_failed",
        /// The handshake was not done in `handshake_timeout`.
        HandshakeTimeout = "handshake_timeout",
        /// No byte in either direction for `idle_timeout`.
        IdleTimeout = "idle_timeout",
        /// It was older than `lifetime`.
        Lifetime = "lifetime",
        /// A reload: the new policy would not let it in.
        NoLongerAllowed = "no_longer_allowed",
        /// The first byte was not of a TLS handshake.
        NotTls = "not_tls",
        /// A trusted proxy sent no sound PROXY header in time; `ravelin_edge_proxy_headers_total` says why.
        ProxyHeader = "proxy_header",
        /// Refused before TLS; `ravelin_edge_refused_total` says why.
        Refused = "refused",
        /// Cut because the edge stopped and its drain time was over.
        Shutdown = "shutdown",
        /// The client ended the stream without `close_notify`: a cut stream looks like this.
        Truncated = "truncated",
        /// The client broke the TLS protocol after the handshake.
        TlsViolation = "tls_violation",
        /// The server name has no route.
        UnknownName = "unknown_name",
        /// The upstream's connection broke.
        UpstreamReset = "upstream_reset",
        /// No server of the upstream could be reached.
        UpstreamUnreachable = "upstream_unreachable",
    }
}

label_values! {
    /// Which check refused a connection before TLS.
    Refusal {
        /// Not in `allow`, or in `deny`.
        Address = "address",
        /// The wait for its turn would be longer than `delay.max`.
        DelayTooLong = "delay_too_long",
        /// Over `handshakes`.
        HandshakeRate = "handshake_rate",
        /// Over `concurrent.per_network`.
        NetworkConnections = "network_connections",
        /// Over `connections.per_network`.
        NetworkRate = "network_rate",
        /// `delay.queue` connections wait already.
        QueueFull = "queue_full",
        /// Over `connections.rate`.
        Rate = "rate",
        /// Over `concurrent.per_source`.
        SourceConnections = "source_connections",
        /// Over `concurrent.total`.
        TotalConnections = "total_connections",
        /// Clients come through proxies, and the peer is none of `trusted_proxies`.
        UntrustedProxy = "untrusted_proxy",
    }
}

label_values! {
    /// What became of the PROXY header of a trusted proxy.
    ProxyResult {
        /// Its checksum is of other bytes.
        BadChecksum = "bad_checksum",
        /// Sound: the proxy speaks for itself, or for somebody it does not know.
        Local = "local",
        /// It breaks the rules of the protocol, or ends in the middle.
        Malformed = "malformed",
        /// The first bytes are something else.
        Missing = "missing",
        /// Not in `proxy_timeout`.
        Timeout = "timeout",
        /// Longer than it may be.
        TooLong = "too_long",
        /// Sound, version 1.
        V1 = "v1",
        /// Sound, version 2.
        V2 = "v2",
    }
}

label_values! {
    /// What slows a connection down.
    Delay {
        /// `bandwidth`.
        Bandwidth = "bandwidth",
        /// `connections`, with `over = "delay"`.
        Rate = "rate",
    }
}

label_values! {
    /// What a source did that counts towards a ban. Nothing that others can bring about is among them.
    Offence {
        /// It connected though it is not in `allow`, or is in `deny`.
        Address = "address",
        /// It showed no certificate that lets it in, and neither a date nor a revocation list is the reason.
        ClientRefused = "client_refused",
        /// It would have had to wait longer than `delay.max`.
        DelayTooLong = "delay_too_long",
        /// Its handshake failed, and not by an alert of its own.
        HandshakeFailed = "handshake_failed",
        /// It was over `handshakes` with `per = "source"`.
        HandshakeRate = "handshake_rate",
        /// Its handshake was not done in `handshake_timeout`.
        HandshakeTimeout = "handshake_timeout",
        /// It began to speak and hung up before the handshake was done.
        HungUp = "hung_up",
        /// It spoke something else than TLS.
        NotTls = "not_tls",
        /// It was over `connections.rate`.
        Rate = "rate",
        /// It was over `concurrent.per_source`.
        SourceConnections = "source_connections",
        /// It asked for a server name that has no route.
        UnknownName = "unknown_name",
    }
}

label_values! {
    /// What came of a ban that was asked for.
    BanResult {
        /// The filter did not answer in time, or so many others wait for it that there was no room.
        Lost = "lost",
        /// Packets of the source are dropped.
        Made = "made",
        /// The filter said no: the address is never banned, the table is full, bans are off.
        Refused = "refused",
    }
}

label_values! {
    /// Why a handshake failed.
    HandshakeFailure {
        /// The client sent an alert (it does not trust the certificate, for one).
        ClientAlert = "client_alert",
        /// No version, cipher suite, group or signature scheme in common.
        Incompatible = "incompatible",
        /// A message that cannot be read.
        Malformed = "malformed",
        /// No application protocol in common.
        NoApplicationProtocol = "no_application_protocol",
        /// It took more than a usual hello, and long hellos of others take the memory there is for them.
        NoRoom = "no_room",
        /// Anything else.
        Other = "other",
        /// A message that may not come here.
        Violation = "violation",
    }
}

label_values! {
    /// Why a client that was asked for a certificate is refused.
    ClientRefusal {
        /// No list speaks about it but one past its `nextUpdate`.
        CrlExpired = "crl_expired",
        /// Past its `notAfter`.
        Expired = "expired",
        /// It cannot be read.
        Malformed = "malformed",
        /// It showed none.
        NoCertificate = "no_certificate",
        /// An authority vouches for it, and no `allow` list names it.
        NotAllowed = "not_allowed",
        /// Before its `notBefore`.
        NotYetValid = "not_yet_valid",
        /// Anything else: a signature that does not fit, a name constraint, a path that is too long.
        Other = "other",
        /// No revocation list speaks about it.
        RevocationUnknown = "revocation_unknown",
        /// A revocation list names it.
        Revoked = "revoked",
        /// No authority of `ca` vouches for it.
        UnknownCa = "unknown_ca",
        /// It is not for clients.
        WrongUsage = "wrong_usage",
    }
}

label_values! {
    /// Why a client that was asked for a certificate is let in.
    ClientAcceptance {
        /// By its certificate.
        Accepted = "accepted",
        /// It showed none, and need not.
        Anonymous = "anonymous",
        /// By its certificate, though the revocation list is past its `nextUpdate`: `crl_policy = "soft"`.
        CrlExpired = "accepted_crl_expired",
        /// By its certificate, though no revocation list speaks about it: `crl_policy = "soft"`.
        RevocationUnknown = "accepted_revocation_unknown",
    }
}

label_values! {
    /// How an attempt to reach an upstream server ended.
    Connect {
        /// Connected.
        Connected = "connected",
        /// Any other error.
        Error = "error",
        /// The server refused.
        Refused = "refused",
        /// Not in `connect_timeout`.
        Timeout = "timeout",
        /// No TLS session: the server's certificate does not hold, for one.
        Tls = "tls",
    }
}

label_values! {
    /// Which way bytes went.
    Direction {
        /// From the upstream to the client.
        ToClient = "to_client",
        /// From the client to the upstream.
        ToUpstream = "to_upstream",
    }
}

label_values! {
    /// Why accept failed.
    AcceptFailure {
        /// The connection was gone before it was accepted.
        Aborted = "aborted",
        /// Out of descriptors or memory.
        Exhausted = "exhausted",
        /// Anything else.
        Other = "other",
    }
}

label_values! {
    /// The key exchange of a finished handshake (the IANA registry's `Supported Groups`, lower case).
    Group {
        /// Anything else.
        Other = "other",
        /// NIST P-256.
        Secp256r1 = "secp256r1",
        /// NIST P-384.
        Secp384r1 = "secp384r1",
        /// Curve25519.
        X25519 = "x25519",
        /// Curve25519 and ML-KEM-768 together: a recorded session stays secret from a quantum computer too.
        X25519MlKem768 = "x25519mlkem768",
    }
}

label_values! {
    /// The TLS version of a finished handshake.
    Version {
        /// TLS 1.2.
        Tls12 = "1.2",
        /// TLS 1.3.
        Tls13 = "1.3",
    }
}
