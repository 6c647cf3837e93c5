//! One rule: conditions, all of which must hold, and an action.

use std::path::PathBuf;
use std::sync::Arc;

use ravelin_datapath::Verdict;

use super::{AddressMatch, RuleName};

/// A rule as it is judged. An empty list of ports or ICMP types means no condition.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique in the whole policy.
    pub name: RuleName,
    /// The scope it stands in.
    pub scope: Scope,
    /// Lower first; `None`: file order after all rules with a priority of the same scope.
    pub priority: Option<u32>,
    /// `action`.
    pub action: Verdict,
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

/// A place in a policy file, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it.
    pub file: Arc<PathBuf>,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
}

/// Scopes in the order of judgement. Region and VPC scopes are not supported yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Judged first.
    Global,
    /// Judged last; also the scope of a top-level `[[rule]]`.
    Host,
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
