//! The validated policy: no illegal state can be built from outside this crate.
//!
//! Document → **`Policy`** → IR → TableImage. Everything here is resolved (sets read, names checked, units parsed) and
//! ordered (rules stand in the order in which they are judged). Knows no TOML and no tables.

pub mod address;
pub mod client_auth;
pub mod edge;
pub mod facts;
pub mod identity;
pub mod limit;
pub mod listener;
pub mod listener_limits;
pub mod name;
pub mod rate;
pub mod rule;
pub mod time;
pub mod tls;
pub mod upstream;
pub mod zone;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ravelin_datapath::wire::{Ends, Plane, Stage};
use ravelin_datapath::{ClassVerdict, ParseClass, Verdict};

pub use address::{AddressMatch, Element, List, Origin, PrefixSet};
pub use client_auth::{ClientAuth, ClientAuthMode, CrlPolicy};
pub use edge::{AccessLog, Edge};
pub use facts::{HostFacts, InterfaceFacts};
pub use identity::{Identities, NamePattern, UriPattern};
pub use limit::{Flood, Limit};
pub use listener::{Listener, Route, SniPattern, SniPolicy};
pub use listener_limits::{
    BandwidthLimit, ConcurrentLimit, ConnectionLimit, DelayQueue, HandshakeLimit, ListenerLimits, OverLimit,
    Quota, SourceBan,
};
pub use name::RuleName;
pub use rate::Rate;
pub use rule::{Action, Direction, IcmpMatch, Level, PortRange, Protocols, Rule, Scope, TcpFlags};
pub use time::{Clock, Timestamp};
pub use tls::{CertificateFiles, Tickets, Tls, TlsVersion};
pub use upstream::{Balance, Ejection, HealthChecks, ProxyHeader, Upstream, UpstreamTls};
pub use zone::{Host, Interface, Vpc};

/// One whole policy: what `ravelin check` accepts and everything else works from.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// `[host]`.
    pub host: Host,
    /// `[[vpc]]`, in file order; names are unique.
    pub vpcs: Vec<Vpc>,
    /// `[firewall]`.
    pub firewall: Firewall,
    /// `[flood]`.
    pub flood: Flood,
    /// Every enabled rule of a scope that this host is in, both directions, in the order of judgement: scope, priority,
    /// file order. Rules that have expired are among them: what is judged when, the clock decides.
    pub rules: Vec<Rule>,
    /// Every enabled rule of a region or VPC that this host is not in, in the order written.
    pub inert: Vec<Rule>,
    /// `[never_ban]`: no feed and no ban covers any of these addresses.
    pub never_ban: PrefixSet,
    /// `[[listener]]`, in file order.
    pub listeners: Vec<Listener>,
    /// `[[upstream]]`, in file order; names are unique.
    pub upstreams: Vec<Upstream>,
    /// `[metrics] bind`; `None` when the table is absent: nothing is served.
    pub metrics: Option<SocketAddr>,
    /// `[edge]`.
    pub edge: Edge,
    /// `[log] access`.
    pub access_log: AccessLog,
    /// `[log] format`.
    pub log: LogFormat,
    /// Every file the policy was read from (policy files first, then set files). A change of any of them is a reload.
    pub files: Vec<PathBuf>,
    /// What each `[[set]]` holds, in file order. Its prefixes are in the rules and listeners that use it.
    pub sets: Vec<ListedSet>,
}

/// What a `[[set]]` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSet {
    /// Its name.
    pub name: String,
    /// Its files, in the order written.
    pub files: Vec<PathBuf>,
    /// Entries, as prefixes: a range counts as those that make it up.
    pub entries: usize,
    /// Entries that say the same as others: duplicates, and prefixes inside wider ones.
    pub covered: usize,
    /// When the file that is oldest was last written. `None`: there are no files.
    pub oldest: Option<SystemTime>,
    /// Its files changed more than `max_change` allows: it holds what the last good copies of them hold.
    pub kept_back: bool,
}

impl Policy {
    /// Whether some packet's flow is kept.
    #[must_use]
    pub fn keeps_flows(&self) -> bool {
        self.firewall.stateful || self.rules.iter().any(|rule| rule.stateful)
    }

    /// Whether an inbound ICMP error is let in by what it quotes, and not by being an error: when every packet that is let through has a
    /// flow; or when there are no essentials, and what has one is all that can be known.
    #[must_use]
    pub fn matches_errors(&self) -> bool {
        let keeps = |rule: &Rule| rule.action != Action::Allow || rule.mode == Mode::Observe || rule.stateful;
        let closed = self.firewall.inbound == Verdict::Deny && self.firewall.outbound == Verdict::Deny;
        let all = (self.firewall.stateful || closed) && self.rules.iter().all(keeps);
        self.keeps_flows() && (all || !self.firewall.essentials)
    }

    /// Whether some packet takes from a bucket.
    #[must_use]
    pub fn limits(&self) -> bool {
        self.flood.syn_budget.is_some() || self.rules.iter().any(|rule| rule.limit.is_some())
    }

    /// Whether it is remembered who has completed a connection: where flows tell, and somebody asks.
    #[must_use]
    pub fn remembers_sources(&self) -> bool {
        let per_source = |limit: &Limit| limit.sources.is_some();
        let mut limits = self.rules.iter().filter_map(|rule| rule.limit.as_ref());
        self.keeps_flows() && (self.flood.syn_budget.is_some() || limits.any(per_source))
    }

    /// The addresses and ports of the host for which SYNs over the budget are answered. A listener on all addresses means those of the
    /// filtered interfaces: a packet to any other address is not for the host, whatever listens here.
    pub fn proxied(&self, host: &HostFacts) -> impl Iterator<Item = (IpAddr, u16)> {
        let listeners = self.listeners.iter().filter(|listener| listener.syn_proxy);
        listeners.flat_map(|listener| &listener.bind).flat_map(|bind| {
            let all = bind.ip().is_unspecified();
            let same_family = move |address: &IpAddr| all && address.is_ipv4() == bind.is_ipv4();
            let own = host.addresses().filter(same_family);
            let one = (!all).then_some(bind.ip());
            own.chain(one).map(|address| (address, bind.port()))
        })
    }

    /// The VPC of that name.
    #[must_use]
    pub fn vpc(&self, name: &str) -> Option<&Vpc> {
        self.vpcs.iter().find(|vpc| vpc.name == name)
    }

    /// The upstream of that name. Routes name only upstreams that exist.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<&Upstream> {
        self.upstreams.iter().find(|upstream| upstream.name == name)
    }
}

/// `[firewall]`: where packets are filtered, and what happens without a rule.
#[derive(Clone, Debug)]
pub struct Firewall {
    /// Interfaces to filter. Empty is fine to check and explain, not to run the filter.
    pub interfaces: Vec<Interface>,
    /// `xdp_mode`.
    pub xdp_mode: XdpMode,
    /// `outbound_hook`.
    pub outbound_hook: OutboundHook,
    /// `inbound`: the verdict when nothing matched.
    pub inbound: Verdict,
    /// `outbound`: the same for packets that the host sends.
    pub outbound: Verdict,
    /// `essentials`: ARP, NDP, ICMP errors, DHCP clients pass before all rules.
    pub essentials: bool,
    /// `stateful`: the flow of what the defaults allow is kept, and lets replies through.
    pub stateful: bool,
    /// How long flows may be idle.
    pub flow_timeouts: FlowTimeouts,
    /// `bans`: bans are carried out.
    pub bans: bool,
    /// `mode`: whether verdicts are carried out.
    pub mode: Mode,
    /// `table_memory`: the most bytes that the tables of one generation may take.
    pub table_memory: u64,
    /// The declared verdict of each parse class.
    pub classes: ClassVerdicts,
}

impl Default for Firewall {
    /// What a policy without `[firewall]` means.
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            xdp_mode: XdpMode::default(),
            outbound_hook: OutboundHook::default(),
            inbound: Verdict::Deny,
            outbound: Verdict::Allow,
            essentials: true,
            stateful: true,
            flow_timeouts: FlowTimeouts::default(),
            bans: true,
            mode: Mode::default(),
            table_memory: Self::TABLE_MEMORY,
            classes: ClassVerdicts::default(),
        }
    }
}

impl Firewall {
    /// `table_memory` when it is not written: 64 MiB.
    pub const TABLE_MEMORY: u64 = 64 << 20;

    /// The verdict of a packet of that direction that no rule decides.
    #[must_use]
    pub const fn default_of(&self, direction: Direction) -> Verdict {
        match direction {
            Direction::Inbound => self.inbound,
            Direction::Outbound => self.outbound,
        }
    }
}

/// How long a flow may be idle before it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTimeouts {
    /// TCP, both ends there.
    pub tcp: Duration,
    /// TCP, opening or closing.
    pub tcp_short: Duration,
    /// UDP and other protocols, one end has spoken.
    pub udp: Duration,
    /// The same, both have.
    pub udp_both: Duration,
    /// ICMP echo.
    pub icmp: Duration,
}

impl FlowTimeouts {
    /// That of a flow with these ends.
    #[must_use]
    pub const fn of(&self, ends: Ends, stage: Stage) -> Duration {
        match (ends.protocol, ends.plane, stage) {
            (6, _, Stage::Established) => self.tcp,
            (6, _, _) => self.tcp_short,
            (1, Plane::V4, _) | (58, Plane::V6, _) => self.icmp,
            (_, _, Stage::Established) => self.udp_both,
            _ => self.udp,
        }
    }
}

impl Default for FlowTimeouts {
    fn default() -> Self {
        Self {
            tcp: Duration::from_secs(3600),
            tcp_short: Duration::from_secs(60),
            udp: Duration::from_secs(60),
            udp_both: Duration::from_secs(180),
            icmp: Duration::from_secs(30),
        }
    }
}

/// The declared verdict of every parse class, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassVerdicts([ClassVerdict; ParseClass::ALL.len()]);

impl Default for ClassVerdicts {
    fn default() -> Self {
        let mut verdicts = [ClassVerdict::Deny; ParseClass::ALL.len()];
        for (slot, class) in verdicts.iter_mut().zip(ParseClass::ALL) {
            *slot = class.default_verdict();
        }
        Self(verdicts)
    }
}

impl ClassVerdicts {
    /// The verdict of `class`.
    #[must_use]
    pub fn of(&self, class: ParseClass) -> ClassVerdict {
        self.0[class as usize]
    }

    /// The same verdicts with that of `class` replaced.
    #[must_use]
    pub fn with(mut self, class: ParseClass, verdict: ClassVerdict) -> Self {
        self.0[class as usize] = verdict;
        self
    }
}

/// How the program is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// Native, or generic where the driver cannot.
    #[default]
    Auto,
    /// Native or nothing.
    Native,
    /// Generic.
    Generic,
}

/// Where the program for what goes out is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutboundHook {
    /// TCX, or `clsact` where the kernel has none.
    #[default]
    Auto,
    /// TCX or nothing.
    Tcx,
    /// A filter at the `clsact` queueing discipline.
    Clsact,
}

/// Whether verdicts are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Denied packets are dropped.
    #[default]
    Enforce,
    /// Judge and count, drop nothing.
    Observe,
}

/// `[log] format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}
