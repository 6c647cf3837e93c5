//! Rules as rows over named dimensions: no names, no families, no defaults.
//!
//! Policy → **`Ir`** → TableImage. A row matches a packet when each of its dimensions does. Rows stand in the order of
//! judgement. Knows nothing of tables.

use std::fmt;

use crate::policy::{PortRange, PrefixSet};

/// A whole policy's rules as rows.
#[derive(Clone, Debug)]
pub struct Ir {
    /// In the order of judgement; several rows may stand for one rule.
    pub rows: Vec<Row>,
    /// How many rules the rows come from.
    pub rules: u32,
}

/// A conjunction of conditions, one a dimension.
#[derive(Clone, Debug)]
pub struct Row {
    /// The rule's index in the order of judgement.
    pub rule: u32,
    /// The source address; `None`: any.
    pub source: Option<PrefixSet>,
    /// The destination address; `None`: any.
    pub destination: Option<PrefixSet>,
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

impl fmt::Display for Ir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, row) in self.rows.iter().enumerate() {
            writeln!(f, "row {number}: rule {}", row.rule)?;
            for (name, set) in [("source", &row.source), ("destination", &row.destination)] {
                if let Some(set) = set {
                    write!(f, "  {name}")?;
                    set.elements()
                        .iter()
                        .try_for_each(|element| write!(f, " {}", element.prefix))?;
                    writeln!(f)?;
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
