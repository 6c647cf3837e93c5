//! Two judges, one packet, two answers: made small, and printed so that it can be replayed.

use std::fmt;

use ravelin_datapath::Decision;

use super::{Probe, Sketch};
use crate::packet::hex;

/// A policy and a packet on which two judges differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The seed of the case it was found in.
    pub seed: u64,
    /// The policy.
    pub sketch: Sketch,
    /// The packet.
    pub probe: Probe,
    /// Who said what.
    pub said: [(&'static str, Decision); 2],
}

impl Difference {
    /// Drops from the policy what the difference does not need: rules one at a time, then classes, set entries, the host.
    ///
    /// `judges` judges the packet by a policy in both ways; `None` when it cannot be judged.
    #[must_use]
    pub fn shrink(self, judges: impl Fn(&Sketch, &Probe) -> Option<[Decision; 2]>) -> Self {
        let mut smallest = self;
        let attempt = |sketch: Sketch, smallest: &mut Self| {
            if let Some([a, b]) = judges(&sketch, &smallest.probe)
                && a != b
            {
                smallest.sketch = sketch;
                smallest.said[0].1 = a;
                smallest.said[1].1 = b;
            }
        };
        for at in (0..smallest.sketch.rules.len()).rev() {
            let mut sketch = smallest.sketch.clone();
            sketch.rules.remove(at);
            attempt(sketch, &mut smallest);
        }
        for at in (0..smallest.sketch.classes.len()).rev() {
            let mut sketch = smallest.sketch.clone();
            sketch.classes.remove(at);
            attempt(sketch, &mut smallest);
        }
        for set in 0..smallest.sketch.sets.len() {
            let mut sketch = smallest.sketch.clone();
            sketch.sets[set].in_file = false;
            attempt(sketch, &mut smallest);
            for at in (0..smallest.sketch.sets[set].entries.len()).rev() {
                let mut sketch = smallest.sketch.clone();
                sketch.sets[set].entries.remove(at);
                // A set without an entry is refused.
                if !sketch.sets[set].entries.is_empty() {
                    attempt(sketch, &mut smallest);
                }
            }
        }
        let mut sketch = smallest.sketch.clone();
        sketch.host.iter_mut().for_each(Vec::clear);
        attempt(sketch, &mut smallest);
        smallest
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.probe.packet.bytes();
        writeln!(f, "two judges differ (case seed {})", self.seed)?;
        writeln!(f, "--- policy\n{}", self.sketch.toml())?;
        for (name, text) in self.sketch.set_files() {
            writeln!(f, "--- {name}\n{text}")?;
        }
        writeln!(f, "--- host addresses: {:?}", self.sketch.host)?;
        writeln!(
            f,
            "--- packet, loopback {}, {}, interface {}, {} ns after: {}",
            self.probe.loopback,
            self.probe.direction.word(),
            self.probe.interface,
            self.probe.after,
            self.probe.packet
        )?;
        writeln!(f, "--- {} bytes: {}", bytes.len(), hex(&bytes))?;
        let policy = self.sketch.policy();
        for (judge, decision) in &self.said {
            let rule = decision
                .rule
                .and_then(|rule| policy.rules.get(usize::try_from(rule).ok()?))
                .map_or("none", |rule| rule.name.as_str());
            let seen: Vec<&str> = decision.seen.iter().map(|class| class.label()).collect();
            writeln!(
                f,
                "--- {judge}: {}, reason {}, rule {rule} ({:?}), observed {:?}, seen {seen:?}",
                decision.verdict.word(),
                decision.reason.label(),
                decision.rule,
                decision.observed
            )?;
        }
        Ok(())
    }
}
