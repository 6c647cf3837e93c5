//! The stable codes of diagnostics: one table for messages, tests and the reference page.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy is accepted; it may not mean what its author thinks.
    Warning,
}

impl Severity {
    /// The word in front of the message.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($variant:ident = $text:literal, $severity:ident, $sentence:literal;)*) => {
        /// What kind of finding it is. The text (`E0202`) never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $sentence] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the reference page.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable text.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// One sentence for the reference page.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

codes! {
    // Files and TOML.
    Unreadable = "E0001", Error, "a policy file cannot be opened or read";
    TooLarge = "E0002", Error, "a file, a list or the number of files is over its bound";
    NotUtf8 = "E0003", Error, "a policy file is not UTF-8 text";
    Syntax = "E0004", Error, "the text is not TOML";
    Include = "E0005", Error, "an `include` pattern is malformed, or names a file that does not exist";
    MainFileOnly = "E0006", Error, "a table or key that belongs in the main file stands in an included one";
    // The shape of the document.
    UnknownKey = "E0101", Error, "a key that the policy language does not have";
    WrongType = "E0102", Error, "a value of another TOML type than the key takes";
    MissingKey = "E0103", Error, "a required key is absent";
    NotSupported = "E0104", Error, "part of the policy language that this release does not support yet";
    UnknownWord = "E0105", Error, "a value outside the closed list of words the key takes";
    Empty = "E0106", Error, "an empty text or list where something has to stand";
    BadName = "E0107", Error, "a name in a form that names cannot have";
    DuplicateName = "E0108", Error, "a name that is used twice";
    OutOfRange = "E0109", Error, "a number outside its range";
    BadDuration = "E0110", Error, "a text that is not a duration";
    BadRate = "E0111", Error, "a text that is not a rate";
    BadMoment = "E0113", Error, "a date and time that is not a moment in whole seconds with a time zone";
    BadScope = "E0114", Error, "a scope that is not exactly one region or one VPC";
    BadSize = "E0115", Error, "a text that is not a size of memory";
    // Addresses and sets.
    BadAddress = "E0201", Error, "a text that is not an address, a prefix or an address word";
    HostBits = "E0202", Error, "a prefix with host bits set";
    PrefixLength = "E0203", Error, "a prefix length that the address family does not have";
    UnknownSet = "E0204", Error, "a set that is not defined";
    EmptySet = "E0205", Error, "a set without an element";
    SetFileUnreadable = "E0206", Error, "a set file cannot be opened or read";
    SetFileEmpty = "E0207", Error, "a set file without an entry";
    SetFileLine = "E0208", Error, "a line of a set file that is not an address or a prefix";
    BadRange = "E0209", Error, "an address range that has no addresses, or addresses of both families";
    NothingLeft = "E0210", Error, "an address list that excludes everything";
    SelfWithoutInterface = "E0211", Error, "`self` where there is no packet with an interface";
    UnknownVpc = "E0212", Error, "a VPC that is not defined";
    ForeignVpc = "E0213", Error, "`vpc:NAME` of a VPC that is neither the host's own nor a peer of it";
    NoLocalVpc = "E0214", Error, "`local-vpc` on a host that is in no VPC";
    VpcOverlap = "E0215", Error, "two VPCs that share addresses";
    EnvironmentTwice = "E0216", Error, "an environment that belongs to two VPCs";
    ForeignEnvironment = "E0217", Error, "a host in an environment that its VPC does not have";
    OwnPeer = "E0218", Error, "a VPC that is a peer of itself";
    TooWide = "E0219", Error, "an entry wider than the set's `min_prefix`";
    SetFileFormat = "E0220", Error, "a set file in JSON that is none of the lists that are known";
    NeverBanExpires = "E0221", Error, "an entry with an end in `[never_ban]`";
    // Rules.
    DuplicatePriority = "E0301", Error, "two rules of one policy have the same priority";
    PortsWithoutProtocol = "E0302", Error, "a port condition on a protocol that has no ports";
    BadPort = "E0303", Error, "a text or number that is not a port or a port range";
    EmptyPortRange = "E0304", Error, "a port range whose first port is above its last";
    UnknownProtocol = "E0305", Error, "a protocol or service that has no such name";
    ServiceWithPorts = "E0306", Error, "`ports` beside a service name, which brings its own";
    ProtocolMix = "E0307", Error, "a list of protocols that one rule cannot express";
    IcmpWithoutProtocol = "E0308", Error, "`icmp` in a rule whose protocol is not `icmp` or `icmpv6` alone";
    BadIcmp = "E0309", Error, "a text that is not an ICMP message";
    IcmpFamily = "E0310", Error, "an ICMP message that the other family's protocol has";
    FlagsWithoutTcp = "E0311", Error, "`tcp_flags` in a rule whose protocol is not `tcp` alone";
    BadTcpFlag = "E0312", Error, "a text that is not a TCP flag";
    TcpFlagTwice = "E0313", Error, "a TCP flag that is named twice";
    NeverMatches = "E0314", Error, "conditions that no packet can meet together";
    BadLimit = "E0315", Error, "a limit that does not say what it limits, or that its rule cannot have";
    // The edge.
    BadSocketAddress = "E0401", Error, "a text that is not an address with a port";
    DuplicateBind = "E0402", Error, "an address that is listened on twice";
    UnknownUpstream = "E0403", Error, "an upstream that is not defined";
    BadServerName = "E0404", Error, "a text that is not a server name or a wildcard of one";
    RouteUnreachable = "E0405", Error, "a route that an earlier route hides";
    BadAlpn = "E0406", Error, "a text that is not an ALPN protocol name, or one that is named twice";
    BanBehindProxy = "E0407", Error, "`ban` on a listener whose peers are proxies, not clients";
    SynProxy = "E0408", Error, "`syn_proxy` without what it needs: a budget of SYNs, and flows";
    DuplicateServer = "E0420", Error, "an upstream with the same server twice";
    // Client certificates.
    ClientCaMissing = "E0421", Error, "clients are asked for a certificate, and nothing says whose are trusted";
    BadIdentity = "E0422", Error, "a text that is not a pattern for names in certificates, or not the fingerprint of a key";
    CrlPolicyWithoutCrl = "E0423", Error, "`crl_policy` without a revocation list";
    TrustedProxies = "E0424", Error, "`proxy_protocol = \"require\"` and `trusted_proxies` that do not fit together";
    Passthrough = "E0425", Error, "a key that a route with `passthrough` cannot have: it does not end TLS";
    TlsInsideTls = "E0426", Error, "a route with `passthrough` to an upstream with `tls`";
    // The tables.
    DoesNotFit = "E0501", Error, "the policy is sound, and its tables do not fit the bounds of a generation";
    // Warnings.
    UnusedSet = "W0001", Warning, "a set that nothing uses";
    UnusedUpstream = "W0002", Warning, "an upstream that no route uses";
    UnusedDelay = "W0003", Warning, "`delay` on a listener that never delays";
    CertificateMissing = "W0004", Warning, "a certificate, key or revocation list that cannot be opened on this machine";
    AnywhereCoversAll = "W0005", Warning, "`anywhere` beside other addresses, which it covers";
    ProtocolOfOtherFamily = "W0006", Warning, "`icmp` with IPv6 addresses only, or `icmpv6` with IPv4 addresses only";
    NoCondition = "W0007", Warning, "an empty list that sets no condition";
    NextBehindNothing = "W0009", Warning, "a `next` in the last scope";
    InterfaceNotFiltered = "W0010", Warning, "a rule for an interface that is not filtered on this host";
    SetFileOld = "W0011", Warning, "a set file older than the set's `max_age`";
    FeedCut = "W0012", Warning, "a feed that lists addresses of `[never_ban]`";
    SetKeptBack = "W0013", Warning, "a set whose files change more than its `max_change` allows";
    BansSwitchedOff = "W0014", Warning, "`ban` on a listener while `[firewall] bans` is false";
    UnusedNetwork = "W0015", Warning, "`network` on a listener that limits nothing per network";
    ClientAuthUnused = "W0021", Warning, "settings for client certificates on a listener that asks nobody for one";
    ClientAuthBeside = "W0022", Warning, "an upstream that one route guards with client certificates and another does not";
    UnusedProxyTimeout = "W0020", Warning, "`proxy_timeout` on a listener that reads no PROXY headers";
    // Lints: what rules do, and do not do.
    Unreachable = "W0101", Warning, "a rule that no packet can match when it gets to the rules";
    Shadowed = "W0102", Warning, "a rule that does nothing, because rules before it decide about all it matches";
    Redundant = "W0103", Warning, "a rule without which every packet gets the same verdict";
    PartlyShadowed = "W0104", Warning, "a rule that rules before it take part of the traffic from, with another verdict";
    Inert = "W0105", Warning, "a rule of a region or VPC that this host is not in";
    AllowsAll = "W0106", Warning, "a rule that lets in everything there is";
    Expired = "W0107", Warning, "a rule or a set entry that has ended";
    SetOver = "W0108", Warning, "a set whose entries have all ended";
    PrefixOrder = "W0109", Warning, "a wider prefix in front of a narrower one, with the opposite action";
    NothingExcluded = "W0110", Warning, "an exception for addresses that are not in the list";
    LintsNotDecided = "W0111", Warning, "a policy whose rules overlap in too many ways for the lints";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_used_once_and_its_letter_is_its_severity() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert!(
                Code::ALL[..index].iter().all(|other| other.text() != code.text()),
                "{} is used twice",
                code.text()
            );
            let letter = match code.severity() {
                Severity::Error => 'E',
                Severity::Warning => 'W',
            };
            assert!(code.text().starts_with(letter), "{}", code.text());
        }
    }
}
