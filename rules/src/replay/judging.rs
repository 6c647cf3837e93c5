//! One policy's judgement of a stream of frames.

use std::cell::Cell;

use ravelin_datapath::{Decision, decide};

use super::link::Frame;
use crate::diff::{Outcome, Who};
use crate::explain::Way;
use crate::reference;
use crate::{HostFacts, Policy, TableImage};
use ravelin_datapath::Reason;

/// A policy, compiled, on a host.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The host.
    pub host: &'a HostFacts,
    /// Its tables, of the direction of `way`.
    pub image: &'a TableImage,
    /// Where, when and which way the packets go.
    pub way: Way,
}

impl Judge<'_> {
    /// What the tables decide; `None` when they ask for bytes that were not captured.
    pub(super) fn decide(&self, frame: &Frame) -> Option<Decision> {
        let snapped = Snapped {
            frame,
            missed: Cell::new(false),
        };
        let decision = decide(&snapped, self.image, self.way.origin);
        (!snapped.missed.get()).then_some(decision)
    }

    /// What the oracle decides on the whole frame.
    pub(super) fn by_oracle(&self, whole: &[u8]) -> Decision {
        reference::judge(self.policy, self.host, self.way.direction, self.way.origin, whole)
    }

    /// What happens, and who says so.
    pub(super) fn outcome(&self, decision: Decision) -> Outcome {
        let rule = decision.rule.and_then(|rule| usize::try_from(rule).ok());
        let name = rule.and_then(|rule| self.image.rule_names().get(rule));
        let who = match (decision.reason, name) {
            (_, Some(name)) => Who::Rule(name.to_string()),
            (Reason::Default | Reason::Rule, None) => Who::Default,
            (reason, None) if (reason as u8) < Reason::Rule as u8 => Who::Class(reason.label()),
            _ => Who::Essential,
        };
        Outcome {
            verdict: decision.verdict,
            who,
        }
    }
}

/// A frame of which only the first bytes were captured. Asked for others, it says zero and remembers.
struct Snapped<'a> {
    frame: &'a Frame,
    missed: Cell<bool>,
}

impl ravelin_datapath::Frame for Snapped<'_> {
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let bytes = self.frame.bytes();
        if offset > ravelin_datapath::frame::MAX_OFFSET {
            return None;
        }
        if let Some(bytes) = bytes.get(offset..).and_then(|rest| rest.first_chunk::<N>()) {
            return Some(*bytes);
        }
        if !self.holds(offset.saturating_add(N)) {
            return None;
        }
        self.missed.set(true);
        Some([0; N])
    }

    fn holds(&self, end: usize) -> bool {
        self.frame.length() >= end
    }

    fn length(&self) -> usize {
        self.frame.length()
    }
}
