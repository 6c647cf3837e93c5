//! Flows that another policy judged otherwise.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use crate::diff::Outcome;
use crate::explain::protocol_word;
use crate::reference::Facts;

/// What packets of one conversation have in common, one way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// Source and destination address, and the protocol; nothing of a packet that shows neither.
    ends: Option<(IpAddr, IpAddr, u8)>,
    /// Source and destination port, of protocols that have them.
    ports: Option<(u16, u16)>,
}

impl Flow {
    pub(super) fn of(facts: Option<&Facts>) -> Self {
        Self {
            ends: facts.map(|facts| (facts.source, facts.destination, facts.protocol)),
            ports: facts.and_then(Facts::ports),
        }
    }
}

/// A flow, what happened to it and what happens now.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Changed {
    flow: Flow,
    was: String,
    is: String,
}

/// The flows whose packets are judged otherwise than by another policy.
#[derive(Debug, Default)]
pub struct Flows {
    packets: u64,
    flows: HashMap<Changed, u64>,
    /// Packets of flows for which there was no room.
    others: u64,
}

impl Flows {
    pub(super) fn add(&mut self, flow: Flow, was: &Outcome, is: &Outcome) {
        self.packets += 1;
        let changed = Changed {
            flow,
            was: was.to_string(),
            is: is.to_string(),
        };
        if let Some(count) = self.flows.get_mut(&changed) {
            *count += 1;
        } else if self.flows.len() < MAX_FLOWS {
            self.flows.insert(changed, 1);
        } else {
            self.others += 1;
        }
    }

    /// Packets judged otherwise.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    fn sorted(&self) -> Vec<(&Changed, u64)> {
        let mut flows: Vec<(&Changed, u64)> = self.flows.iter().map(|(flow, count)| (flow, *count)).collect();
        flows.sort_by(|(one, most), (other, more)| more.cmp(most).then_with(|| one.cmp(other)));
        flows
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        let flow = |(changed, packets): (&Changed, u64)| {
            serde_json::json!({
                "flow": changed.flow.to_string(),
                "packets": packets,
                "was": changed.was,
                "is": changed.is,
            })
        };
        serde_json::json!({
            "packets": self.packets,
            "flows": self.sorted().into_iter().map(flow).collect::<Vec<_>>(),
            "packets_of_flows_left_out": self.others,
        })
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ends, self.ports) {
            (Some((source, destination, protocol)), Some((from, to))) => write!(
                f,
                "{} {} > {}",
                protocol_word(protocol),
                Socket(source, from),
                Socket(destination, to)
            ),
            (Some((source, destination, protocol)), None) => {
                write!(f, "{} {source} > {destination}", protocol_word(protocol))
            }
            (None, _) => write!(f, "packets that reach no rule"),
        }
    }
}

struct Socket(IpAddr, u16);

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.1),
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.1),
        }
    }
}

impl fmt::Display for Flows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, more) = (self.flows.len(), if self.others > 0 { " and more" } else { "" });
        if self.packets == 0 {
            return writeln!(f, "no packet is judged otherwise");
        }
        writeln!(
            f,
            "{} packets of {count} flows{more} are judged otherwise",
            self.packets
        )?;
        let flows = self.sorted();
        for (changed, packets) in flows.iter().take(SHOWN) {
            let Changed { flow, was, is } = changed;
            writeln!(f, "  {packets:>10}  {flow}\n              was {was}, is {is}")?;
        }
        if flows.len() > SHOWN {
            writeln!(
                f,
                "  and {} flows more; `--format json` tells them all",
                flows.len() - SHOWN
            )?;
        }
        Ok(())
    }
}

/// A scan with random ports is a flow a packet, and would fill the memory.
const MAX_FLOWS: usize = 100_000;

/// Flows that people are shown.
const SHOWN: usize = 20;
