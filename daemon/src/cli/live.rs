//! `ravelin explain --live`: the attached program beside the explanation.

use std::fmt;
use std::path::Path;

use ravelin_datapath::{Direction, Verdict};
use ravelin_rules::explain::Trace;
use serde_json::{Value, json};

use crate::network::ask::{AskError, Expected, Live, ask};

/// What the attached program did with the packet, and what it should have done.
#[derive(Debug)]
pub(super) struct Asked {
    live: Live,
    expected: Verdict,
    /// In observe mode packets pass whatever is decided.
    observe: bool,
}

impl Asked {
    /// Asks the program about the frame that `trace` explains.
    pub(super) fn ask(
        pin_dir: &Path,
        interface: Option<&str>,
        direction: Direction,
        frame: &[u8],
        trace: &Trace,
    ) -> Result<Self, AskError> {
        let expected = Expected {
            direction,
            reason: (trace.reason(), trace.verdict()),
            rule: trace.rule(),
        };
        Ok(Self {
            live: ask(pin_dir, interface, frame, expected)?,
            expected: trace.verdict(),
            observe: trace.observes(),
        })
    }

    /// Whether nothing contradicts the explanation.
    pub(super) fn agrees(&self) -> bool {
        let action = if self.observe {
            Verdict::Allow
        } else {
            self.expected
        };
        self.live.action == action && self.live.reason_moved && self.live.rule_moved != Some(false)
    }

    /// The explanation with what the program did.
    pub(super) fn to_json(&self, trace: &Trace) -> String {
        let mut document: Value = serde_json::from_str(&trace.to_json()).unwrap_or_default();
        if let Some(document) = document.as_object_mut() {
            let live = json!({
                "agrees": self.agrees(),
                "program": self.live.program,
                "interface": self.live.interface,
                "action": action(self.live.action),
                "reason_counted": self.live.reason_moved,
                "rule_counted": self.live.rule_moved,
            });
            document.insert("live".to_owned(), live);
        }
        format!("{document:#}\n")
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Live {
            program,
            interface,
            action: did,
            reason_moved,
            rule_moved,
        } = &self.live;
        write!(
            f,
            "live        program {program} on {interface} {} it",
            action(*did)
        )?;
        if self.agrees() {
            return writeln!(f, ", and counts it as explained");
        }
        writeln!(f, ": NOT what this policy says")?;
        if !reason_moved {
            writeln!(f, "            the counter of this reason did not move")?;
        }
        if *rule_moved == Some(false) {
            writeln!(
                f,
                "            the counter of the rule did not move, or the program has no such rule"
            )?;
        }
        Ok(())
    }
}

fn action(action: Verdict) -> &'static str {
    match action {
        Verdict::Allow => "passes",
        Verdict::Deny => "drops",
    }
}
