//! The words of a written rule: where it stands, and what its address lists name.

use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_rules::policy::Scope;

/// What a rule stands in: a top-level `[[rule]]`, or a `[[policy]]`; neighbours with the same number share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// `[[rule]]`.
    TopLevel,
    /// `[[policy]]` with this scope.
    Policy(ScopeSketch, u32),
}

/// `scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeSketch {
    /// `"global"`.
    Global,
    /// `{ region = … }`.
    Region(&'static str),
    /// `{ vpc = … }`, by its place.
    Vpc(usize),
    /// `"host"`.
    Host,
}

impl ScopeSketch {
    pub(super) fn text(self) -> String {
        match self {
            Self::Global => quoted("global"),
            Self::Region(region) => format!("{{ region = \"{region}\" }}"),
            Self::Vpc(at) => format!("{{ vpc = \"vpc-{at}\" }}"),
            Self::Host => quoted("host"),
        }
    }

    pub(super) fn scope(self) -> Scope {
        match self {
            Self::Global => Scope::Global,
            Self::Region(region) => Scope::Region(region.to_owned()),
            Self::Vpc(at) => Scope::Vpc(format!("vpc-{at}")),
            Self::Host => Scope::Host,
        }
    }
}

/// One entry of an address list.
#[derive(Clone, Debug)]
pub enum AddressWord {
    /// A prefix; a host prefix is written without its length.
    Prefix(IpNet),
    /// A range, from its first to its last address.
    Range(IpAddr, IpAddr),
    /// `@set`, by index.
    Set(usize),
    /// `self`.
    Own,
    /// `local-vpc`; the VPC that it stands for.
    LocalVpc(usize),
    /// `vpc:NAME`, by its place.
    Vpc(usize),
    /// `!` in front of a word.
    Not(Box<Self>),
}

impl AddressWord {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Prefix(prefix) => written(prefix),
            Self::Range(first, last) => format!("{first}-{last}"),
            Self::Set(at) => format!("@set-{at}"),
            Self::Own => "self".to_owned(),
            Self::LocalVpc(_) => "local-vpc".to_owned(),
            Self::Vpc(at) => format!("vpc:vpc-{at}"),
            Self::Not(word) => format!("!{}", word.text()),
        }
    }
}

pub(super) fn written(prefix: &IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        prefix.addr().to_string()
    } else {
        prefix.to_string()
    }
}

pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
