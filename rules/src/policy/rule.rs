//! One rule: conditions, all of which must hold, and an action.

use std::path::PathBuf;
use std::sync::Arc;

pub use ravelin_datapath::Direction;
use ravelin_datapath::Verdict;

use super::{AddressMatch, Limit, Mode, RuleName, Timestamp};

/// A rule as it is judged. An empty list of ports or ICMP types means no condition.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique in the whole policy.
    pub name: RuleName,
    /// The scope it stands in.
    pub scope: Scope,
    /// Lower first; `None`: file order after all rules with a priority of the same scope.
    pub priority: Option<u32>,
    /// `direction`.
    pub direction: Direction,
    /// `action`.
    pub action: Action,
    /// `stateful`: the flow of what it allows is kept, and lets replies through.
    pub stateful: bool,
    /// `limit`: how much of what it allows may come. Only with [`Action::Allow`].
    pub limit: Option<Limit>,
    /// `mode`: a rule that observes is counted when it matches, and decides nothing.
    pub mode: Mode,
    /// `expires`: from this second on the rule is not there.
    pub expires: Option<Timestamp>,
    /// `interface`: the packet comes in, or goes out, on the interface of that name.
    pub interface: Option<String>,
    /// `source`.
    pub source: AddressMatch,
    /// `destination`.
    pub destination: AddressMatch,
    /// `protocol`.
    pub protocols: Protocols,
    /// `ports`: destination ports.
    pub ports: Vec<PortRange>,
    /// `source_ports`.
    pub source_ports: Vec<PortRange>,
    /// `icmp`.
    pub icmp: Vec<IcmpMatch>,
    /// `tcp_flags`.
    pub tcp_flags: Option<TcpFlags>,
    /// `comment`.
    pub comment: Option<String>,
    /// Where the rule was written.
    pub place: Place,
}

impl Rule {
    /// An inbound rule of the host that matches every packet.
    #[must_use]
    pub fn new(name: RuleName, action: Action, place: Place) -> Self {
        Self {
            name,
            scope: Scope::Host,
            priority: None,
            direction: Direction::Inbound,
            action,
            stateful: false,
            limit: None,
            mode: Mode::Enforce,
            expires: None,
            interface: None,
            source: AddressMatch::anywhere(),
            destination: AddressMatch::anywhere(),
            protocols: Protocols::Any,
            ports: Vec::new(),
            source_ports: Vec::new(),
            icmp: Vec::new(),
            tcp_flags: None,
            comment: None,
            place,
        }
    }
}

/// A place in a policy file, for messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it.
    pub file: Arc<PathBuf>,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
}

/// What a rule does with a packet that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The packet passes.
    Allow,
    /// The packet is dropped.
    Deny,
    /// The rest of this scope is left out: judgement goes on with the next scope.
    Next,
}

impl Action {
    /// The word in policies.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Next => "next",
        }
    }

    /// The verdict; `None` for `next`.
    #[must_use]
    pub const fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Allow => Some(Verdict::Allow),
            Self::Deny => Some(Verdict::Deny),
            Self::Next => None,
        }
    }
}

impl From<Verdict> for Action {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Deny => Self::Deny,
        }
    }
}

/// Where a rule is judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// On every host, first.
    Global,
    /// On the hosts of this region.
    Region(String),
    /// On the hosts of this VPC.
    Vpc(String),
    /// Last; also the scope of a top-level `[[rule]]`.
    Host,
}

/// Scopes in the order of judgement: a host is in at most one of each level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// First.
    Global,
    /// Then the host's region.
    Region,
    /// Then its VPC.
    Vpc,
    /// Last the host's own rules.
    Host,
}

impl Scope {
    /// The scope's place in the order of judgement.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Global => Level::Global,
            Self::Region(_) => Level::Region,
            Self::Vpc(_) => Level::Vpc,
            Self::Host => Level::Host,
        }
    }
}

/// A set of IP protocol numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocols {
    /// Every number.
    Any,
    /// These numbers, sorted, without duplicates, not empty.
    Only(Vec<u8>),
}

impl Protocols {
    /// Whether `number` is in the set.
    #[must_use]
    pub fn contains(&self, number: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Only(numbers) => numbers.contains(&number),
        }
    }
}

/// Ports `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port; not below `first`.
    pub last: u16,
}

/// An ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpMatch {
    /// The type.
    pub kind: u8,
    /// The code; `None`: any.
    pub code: Option<u8>,
}

/// TCP flags that must be set and flags that must be clear; no flag is in both.
///
/// Bits as on the wire (RFC 9293): FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags {
    /// Must be set.
    pub set: u8,
    /// Must be clear.
    pub clear: u8,
}
