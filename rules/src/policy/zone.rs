//! Zones: the networks of the company, and where this host stands among them.

use super::PrefixSet;
use super::rule::Place;

/// `[host]`: what this host is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// `name`, or the host's own name.
    pub name: String,
    /// `region`: rules of the scope `{ region = … }` with this word are judged here.
    pub region: Option<String>,
    /// `vpc`: names a VPC that exists.
    pub vpc: Option<String>,
    /// `environment`.
    pub environment: Option<String>,
}

/// `[[vpc]]`: a virtual private cloud, or any network with an owner.
#[derive(Clone, Debug)]
pub struct Vpc {
    /// Unique.
    pub name: String,
    /// `provider`: a label.
    pub provider: Option<String>,
    /// `region`: a label.
    pub region: Option<String>,
    /// `cidrs`: overlaps those of no other VPC.
    pub cidrs: PrefixSet,
    /// `environments`: none of them belongs to another VPC.
    pub environments: Vec<String>,
    /// Every VPC that it is peered with, by name: peering holds in both directions, whichever side names it.
    pub peers: Vec<String>,
    /// Where it was written.
    pub place: Place,
}

/// An interface to filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// As the kernel names it.
    pub name: String,
    /// The VPC behind it: names a VPC that exists. `None`: anything may be behind it.
    pub vpc: Option<String>,
}
