//! A difference as text for people, and as JSON.

use std::fmt;

use serde_json::json;

use super::{Change, Difference, Kind, Outcome, Who};
use crate::Direction;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "no packet is judged otherwise");
        }
        for setting in &self.settings {
            let about = if setting.key.ends_with("stateful") {
                "; it decides which replies pass"
            } else if setting.key.ends_with(".limit") || setting.key.ends_with("syn_budget") {
                "; what is over it is denied"
            } else {
                ""
            };
            let (key, old, new) = (&setting.key, &setting.old, &setting.new);
            writeln!(f, "`{key}` was `{old}` and is `{new}`{about}")?;
        }
        for kind in [Kind::Allowed, Kind::Denied, Kind::OtherRule] {
            let changes: Vec<&Change> = self.changes.iter().filter(|change| change.kind == kind).collect();
            if !changes.is_empty() {
                writeln!(f, "{}", kind.words())?;
            }
            for change in changes {
                write!(f, "  {change}")?;
            }
        }
        if self.more {
            writeln!(f, "and more: this is a part of the difference")?;
        }
        Ok(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.direction {
            Direction::Inbound => "",
            Direction::Outbound => "outbound: ",
        };
        write!(f, "{way}{}", self.packets)?;
        if let Some(from) = self.from {
            write!(f, ", from {from}")?;
        }
        if let Some(until) = self.until {
            write!(f, ", until {until}")?;
        }
        writeln!(f)?;
        writeln!(f, "      was {}, is {}", self.old, self.new)?;
        match &self.example {
            Some(example) => writeln!(f, "      example: {}", example.arguments()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            ravelin_datapath::Verdict::Allow => "allowed",
            ravelin_datapath::Verdict::Deny => "denied",
        };
        match &self.who {
            Who::Rule(name) => write!(f, "{verdict} by `{name}`"),
            Who::Default => write!(f, "{verdict} by default"),
            Who::Essential => write!(f, "{verdict} as an essential"),
            Who::Class(label) => write!(f, "{verdict} as `{label}`"),
        }
    }
}

impl super::Example {
    /// The packet as the options of `ravelin explain`.
    #[must_use]
    pub fn arguments(&self) -> String {
        let question = &self.question;
        let mut words = vec![
            format!("--source {}", question.source),
            format!("--destination {}", question.destination),
            format!("--protocol {}", question.protocol),
        ];
        words.extend(question.port.map(|port| format!("--port {port}")));
        words.extend(question.source_port.map(|port| format!("--source-port {port}")));
        words.extend(question.icmp.map(|(kind, code)| format!("--icmp {kind}/{code}")));
        let flags = question.tcp_flags.map(crate::explain::flag_words);
        words.extend(flags.map(|flags| format!("--tcp-flags {flags}")));
        words.extend(self.interface.as_ref().map(|name| format!("--interface {name}")));
        words.join(" ")
    }
}

impl Kind {
    /// The heading.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Allowed => "now allowed",
            Self::Denied => "now denied",
            Self::OtherRule => "now by another rule",
        }
    }
}

pub(super) fn json(difference: &Difference) -> String {
    let changes: Vec<_> = difference
        .changes
        .iter()
        .map(|change| {
            json!({
                "kind": change.kind.words(),
                "direction": change.direction.word(),
                "packets": change.packets,
                "old": outcome(&change.old),
                "new": outcome(&change.new),
                "from": change.from.map(|moment| moment.to_string()),
                "until": change.until.map(|moment| moment.to_string()),
                "example": change.example.as_ref().map(super::Example::arguments),
            })
        })
        .collect();
    let settings: Vec<_> = difference
        .settings
        .iter()
        .map(|setting| json!({ "key": setting.key, "old": setting.old, "new": setting.new }))
        .collect();
    let document = json!({
        "equal": difference.is_empty(),
        "settings": settings,
        "changes": changes,
        "more": difference.more,
    });
    format!("{document:#}\n")
}

fn outcome(outcome: &Outcome) -> serde_json::Value {
    let (by, name) = match &outcome.who {
        Who::Rule(name) => ("rule", Some(name.as_str())),
        Who::Default => ("default", None),
        Who::Essential => ("essential", None),
        Who::Class(label) => ("class", Some(*label)),
    };
    json!({ "verdict": outcome.verdict.word(), "by": by, "name": name })
}
