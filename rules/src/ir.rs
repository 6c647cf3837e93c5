//! Rules as rows over named dimensions: no names, no families, no defaults.
//!
//! Policy → **`Ir`** → TableImage. A row matches a packet when each of its dimensions does. Rows stand in the order of
//! judgement. Knows nothing of tables.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::policy::{Level, PortRange, PrefixSet, Timestamp};

/// What a policy says of packets of one direction, as rows.
#[derive(Clone, Debug)]
pub struct Ir {
    /// In the order of judgement; several rows may stand for one rule.
    pub rows: Vec<Row>,
    /// The moments after the compilation at which a row begins or ends, ascending. They part time into epochs: epoch `n`
    /// begins at moment `n - 1`.
    pub moments: Vec<Timestamp>,
}

/// A conjunction of conditions, one a dimension.
#[derive(Clone, Debug)]
pub struct Row {
    /// The rule's index in the order of judgement.
    pub rule: u32,
    /// The level of its scope.
    pub level: Level,
    /// What happens to a packet that the row matches.
    pub effect: Effect,
    /// The interface: one of these, by their place in the host's facts, `None` being every interface that is not there.
    /// No condition at all: any.
    pub interfaces: Option<Vec<Option<usize>>>,
    /// The epochs in which the row is there, first and last; `None`: in all of them.
    pub epochs: Option<(u32, u32)>,
    /// The source address; `None`: any.
    pub source: Option<Arc<Addresses>>,
    /// The destination address; `None`: any.
    pub destination: Option<Arc<Addresses>>,
    /// The protocol number; `None`: any. Sorted.
    pub protocols: Option<Vec<u8>>,
    /// The destination port, or ICMP type and code (type in the high byte): the packet has one, and it lies in one of
    /// these ranges. `None`: any, or none at all.
    pub key: Option<Vec<PortRange>>,
    /// The source port: the packet has one, and it lies in one of these ranges. `None`: any, or none at all.
    pub source_port: Option<Vec<PortRange>>,
    /// The TCP flags: the packet has them, and they are among these bytes. Sorted. `None`: any, or none at all.
    pub flags: Option<Vec<u8>>,
}

/// What a matching row does to the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It ends with the rule's verdict.
    Decide,
    /// It goes on with the next scope.
    Next,
    /// It goes on, and the rule is noted.
    Observe,
}

/// Addresses: the included ones less the excluded ones. No moments and no `self`: what they stand for is spelled out.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Prefixes; `None`: every address.
    pub include: Option<PrefixSet>,
    /// More addresses that are included.
    pub include_hosts: Vec<IpAddr>,
    /// Prefixes that are not.
    pub exclude: PrefixSet,
    /// More addresses that are not.
    pub exclude_hosts: Vec<IpAddr>,
}

impl Addresses {
    /// A key that equal conditions share; see [`PrefixSet::key`].
    pub(crate) fn key(&self) -> impl Eq + std::hash::Hash + use<> {
        (
            self.include.as_ref().map(PrefixSet::key),
            self.include_hosts.clone(),
            self.exclude.key(),
            self.exclude_hosts.clone(),
        )
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.include {
            None => write!(f, " any")?,
            Some(set) => set
                .elements()
                .iter()
                .try_for_each(|element| write!(f, " {}", element.prefix))?,
        }
        self.include_hosts
            .iter()
            .try_for_each(|host| write!(f, " {host}"))?;
        self.exclude
            .elements()
            .iter()
            .try_for_each(|element| write!(f, " !{}", element.prefix))?;
        self.exclude_hosts
            .iter()
            .try_for_each(|host| write!(f, " !{host}"))
    }
}

impl fmt::Display for Ir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, moment) in (1..).zip(&self.moments) {
            writeln!(f, "epoch {number}: from {moment}")?;
        }
        for (number, row) in self.rows.iter().enumerate() {
            write!(f, "row {number}: rule {}", row.rule)?;
            match row.effect {
                Effect::Decide => writeln!(f)?,
                Effect::Next => writeln!(f, ", goes on behind level {:?}", row.level)?,
                Effect::Observe => writeln!(f, ", observes")?,
            }
            if let Some(interfaces) = &row.interfaces {
                write!(f, "  interface")?;
                for interface in interfaces {
                    match interface {
                        Some(place) => write!(f, " {place}")?,
                        None => write!(f, " other")?,
                    }
                }
                writeln!(f)?;
            }
            if let Some((first, last)) = row.epochs {
                writeln!(f, "  epochs {first}-{last}")?;
            }
            for (name, set) in [("source", &row.source), ("destination", &row.destination)] {
                if let Some(set) = set {
                    writeln!(f, "  {name}{set}")?;
                }
            }
            if let Some(protocols) = &row.protocols {
                writeln!(f, "  protocol {protocols:?}")?;
            }
            for (name, ranges) in [("key", &row.key), ("source_port", &row.source_port)] {
                if let Some(ranges) = ranges {
                    write!(f, "  {name}")?;
                    ranges
                        .iter()
                        .try_for_each(|range| write!(f, " {}-{}", range.first, range.last))?;
                    writeln!(f)?;
                }
            }
            if let Some(flags) = &row.flags {
                writeln!(f, "  flags: {} of 256 values", flags.len())?;
            }
        }
        Ok(())
    }
}
