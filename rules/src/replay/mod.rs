//! What a policy would have done with captured traffic.
//!
//! Capture → frames → compiled tables → **`Summary`**. The packets are judged by the tables that the kernel would read, and a
//! sample of them by the oracle too.

mod capture;
mod flows;
mod judging;
mod link;
mod render;

use std::collections::BTreeMap;
use std::io::Read;

use ravelin_datapath::{Decision, ParseClass, Reason, Verdict};

pub use capture::{CaptureError, Packet, read};
pub use flows::{Flow, Flows};
pub use judging::Judge;

use crate::policy::Action;
use crate::reference;
use link::Frame;

/// Judges every packet of the capture, and tells what came of it; by `against` too, when it is given.
///
/// The summary is of what could be read, also when the capture is damaged.
pub fn replay(
    capture: impl Read,
    judge: Judge<'_>,
    against: Option<Judge<'_>>,
) -> (Summary, Result<(), CaptureError>) {
    let mut summary = Summary::of(&judge, against.is_some());
    let mut frame = Frame::default();
    let result = read(capture, |packet| {
        summary.add(&judge, against.as_ref(), packet, &mut frame);
    });
    summary.count_rules(&judge);
    (summary, result)
}

/// Packets, and their bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

/// What a rule met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCount {
    /// Its name.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// What it decided.
    pub decided: Count,
    /// What it would have decided, for a rule in observe mode.
    pub observed: Count,
}

/// What a policy does with a capture.
#[derive(Debug)]
pub struct Summary {
    /// Every packet.
    pub all: Count,
    /// What is allowed.
    pub allowed: Count,
    /// What is denied.
    pub denied: Count,
    /// Why, by the number of the reason.
    pub reasons: Vec<Count>,
    /// Parse classes seen, by their number. A packet can be of several.
    pub classes: Vec<Count>,
    /// What each rule of this direction met, in the order of judgement.
    pub rules: Vec<RuleCount>,
    /// Packets of which the capture holds a part.
    pub snapped: Count,
    /// Of these, packets of which it holds too little to judge them. They are neither allowed nor denied here.
    pub too_short: Count,
    /// Packets of link types that are not known, by the number of the type.
    pub unknown_links: BTreeMap<u16, u64>,
    /// Packets that the oracle was asked about too.
    pub sampled: u64,
    /// Those of them that it judges otherwise: a bug in Ravelin.
    pub disagreements: u64,
    /// The policy keeps flows, and each packet was judged alone all the same: what flows would let through is judged by rules.
    pub judged_alone: bool,
    /// The policy limits something, and nobody was asked what is left.
    pub limits_not_asked: bool,
    /// What the other policy judges otherwise.
    pub changed: Option<Flows>,
    decided: Vec<Count>,
    observed: Vec<Count>,
}

impl Summary {
    fn of(judge: &Judge<'_>, against: bool) -> Self {
        let rules = judge.image.rule_names().len();
        Self {
            all: Count::default(),
            allowed: Count::default(),
            denied: Count::default(),
            reasons: vec![Count::default(); Reason::ALL.len()],
            classes: vec![Count::default(); ParseClass::ALL.len()],
            rules: Vec::new(),
            snapped: Count::default(),
            too_short: Count::default(),
            unknown_links: BTreeMap::new(),
            sampled: 0,
            disagreements: 0,
            judged_alone: judge.policy.keeps_flows(),
            limits_not_asked: judge.policy.limits(),
            changed: against.then(Flows::default),
            decided: vec![Count::default(); rules],
            observed: vec![Count::default(); rules],
        }
    }

    fn add(&mut self, judge: &Judge<'_>, against: Option<&Judge<'_>>, packet: Packet<'_>, frame: &mut Frame) {
        self.all.add(packet.length);
        if packet.bytes.len() < packet.length {
            self.snapped.add(packet.length);
        }
        if !frame.fill(packet.link, packet.bytes, packet.length) {
            *self.unknown_links.entry(packet.link).or_default() += 1;
            return;
        }
        let Some(decision) = judge.decide(frame) else {
            self.too_short.add(packet.length);
            return;
        };
        self.count(decision, packet.length);
        self.check(judge, decision, frame);
        let Some(old) = against else {
            return;
        };
        let Some(before) = old.decide(frame) else {
            return;
        };
        let (was, is) = (old.outcome(before), judge.outcome(decision));
        if was != is {
            let whole = whole(frame);
            let facts = [judge, old].into_iter().find_map(|judge| {
                reference::read(
                    judge.policy,
                    judge.host,
                    judge.way.direction,
                    judge.way.origin,
                    &whole,
                )
            });
            if let Some(changed) = &mut self.changed {
                changed.add(Flow::of(facts.as_ref()), &was, &is);
            }
        }
    }

    fn count(&mut self, decision: Decision, bytes: usize) {
        match decision.verdict {
            Verdict::Allow => self.allowed.add(bytes),
            Verdict::Deny => self.denied.add(bytes),
        }
        if let Some(count) = self.reasons.get_mut(usize::from(decision.reason as u8)) {
            count.add(bytes);
        }
        for (class, count) in ParseClass::ALL.iter().zip(&mut self.classes) {
            if decision.seen.contains(*class) {
                count.add(bytes);
            }
        }
        for (rule, counts) in [
            (decision.rule, &mut self.decided),
            (decision.observed, &mut self.observed),
        ] {
            let rule = rule.and_then(|rule| usize::try_from(rule).ok());
            if let Some(count) = rule.and_then(|rule| counts.get_mut(rule)) {
                count.add(bytes);
            }
        }
    }

    /// Asks the oracle about the first packets, and some of the others.
    fn check(&mut self, judge: &Judge<'_>, decision: Decision, frame: &Frame) {
        let number = self.all.packets;
        if (number > SAMPLE && !number.is_multiple_of(SAMPLE)) || frame.length() > LONGEST {
            return;
        }
        self.sampled += 1;
        self.disagreements += u64::from(judge.by_oracle(&whole(frame)) != decision);
    }

    fn count_rules(&mut self, judge: &Judge<'_>) {
        let counts = self.decided.iter().zip(&self.observed);
        let rules = judge.policy.rules.iter().zip(counts);
        self.rules = rules
            .filter(|(rule, _)| rule.direction == judge.way.direction)
            .map(|(rule, (decided, observed))| RuleCount {
                name: rule.name.to_string(),
                action: rule.action,
                decided: *decided,
                observed: *observed,
            })
            .collect();
    }

    /// The summary as one JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        render::json(self)
    }
}

/// The frame with what was not captured as zeros: nobody asked for it.
fn whole(frame: &Frame) -> Vec<u8> {
    let mut bytes = frame.bytes().to_vec();
    bytes.resize(frame.length().min(LONGEST).max(bytes.len()), 0);
    bytes
}

/// How many packets the oracle is asked about at once, and then one of so many. It walks rule by rule: with ten thousand
/// rules it is a thousand times slower than the tables.
const SAMPLE: u64 = 1_000;

/// The longest IP packet, with tags. A capture may claim 4 GiB for each packet.
const LONGEST: usize = 65_535 + 22;

#[cfg(test)]
mod tests;
