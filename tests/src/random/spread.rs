//! What random pairs have reached: a comparison of a thousand times the same answer proves little.

use std::fmt;

use ravelin_datapath::{Decision, ParseClass, Reason, Verdict};
use ravelin_rules::Policy;

use super::Sketch;
use super::coverage::Coverage;

/// How often each reason, verdict and parse class was reached.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    pairs: u64,
    allowed: u64,
    reasons: [u64; Reason::ALL.len()],
    classes: [u64; ParseClass::ALL.len()],
    coverage: Coverage,
}

impl Spread {
    /// Counts one decision.
    pub fn count(&mut self, decision: &Decision) {
        self.pairs += 1;
        self.allowed += u64::from(decision.verdict == Verdict::Allow);
        self.reasons[decision.reason as usize] += 1;
        for class in decision.seen.iter() {
            self.classes[class as usize] += 1;
        }
    }

    /// Counts the features of a policy.
    pub fn count_policy(&mut self, sketch: &Sketch) {
        self.coverage.policy(sketch);
    }

    /// Counts the features that had a part in a decision.
    pub fn count_features(&mut self, sketch: &Sketch, policy: &Policy, decision: &Decision) {
        self.coverage.pair(sketch, policy, decision);
    }

    /// How often each feature of the language was there, and took part.
    #[must_use]
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// The features that no policy had, or that took part in no decision.
    #[must_use]
    pub fn missing_features(&self) -> Vec<&'static str> {
        self.coverage.missing()
    }

    /// How many decisions were counted.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        self.pairs
    }

    /// How often `reason` decided.
    #[must_use]
    pub fn reason(&self, reason: Reason) -> u64 {
        self.reasons[reason as usize]
    }

    /// The reasons that never decided and may: `fragment_later` never decides, `table_fault` is a bug, `flow` and limits need packets
    /// before (`sequences`), and bans are in `bans.rs` alone.
    #[must_use]
    pub fn missing_reasons(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        for reason in Reason::ALL {
            let may_decide = !matches!(
                reason,
                Reason::FragmentLater
                    | Reason::TableFault
                    | Reason::Flow
                    | Reason::Ban
                    | Reason::Limit
                    | Reason::SynBudget
                    | Reason::SynCookie
            );
            if may_decide && self.reason(*reason) == 0 {
                missing.push(reason.label());
            }
        }
        missing
    }

    /// The parse classes that were never seen.
    #[must_use]
    pub fn missing_classes(&self) -> Vec<&'static str> {
        let unseen = ParseClass::ALL
            .iter()
            .filter(|class| self.classes[**class as usize] == 0);
        unseen.map(|class| class.label()).collect()
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let denied = self.pairs - self.allowed;
        writeln!(
            f,
            "{} pairs, {} allowed, {denied} denied",
            self.pairs, self.allowed
        )?;
        for reason in Reason::ALL {
            let count = self.reason(*reason);
            let tenths = (count * 1000).checked_div(self.pairs).unwrap_or(0);
            write!(
                f,
                "  {:<20} {count:>7}  {:>3}.{} %",
                reason.label(),
                tenths / 10,
                tenths % 10
            )?;
            match ParseClass::ALL.get(*reason as usize) {
                Some(class) => writeln!(f, "   seen {}", self.classes[*class as usize])?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
