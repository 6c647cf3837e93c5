//! A summary as text for people, and as JSON.

use std::fmt;

use ravelin_datapath::{ParseClass, Reason};
use serde_json::{Value, json};

use super::{Count, RuleCount, Summary};

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all;
        writeln!(f, "{} packets, {} bytes", all.packets, all.bytes)?;
        for (what, count) in [
            ("allowed", self.allowed),
            ("denied", self.denied),
            ("not judged: too little of them was captured", self.too_short),
        ] {
            if count.packets > 0 || what.len() < 8 {
                line(f, all, count, what)?;
            }
        }
        for (link, packets) in &self.unknown_links {
            writeln!(
                f,
                "  {packets:>10}          not judged: link type {link} is not supported"
            )?;
        }
        if self.snapped.packets > 0 {
            writeln!(
                f,
                "{} packets were captured in part; the missing bytes decide nothing",
                self.snapped.packets - self.too_short.packets
            )?;
        }
        if self.judged_alone {
            writeln!(
                f,
                "each packet was judged alone: of those that a flow would let through, the rules were asked"
            )?;
        }
        if self.limits_not_asked {
            writeln!(
                f,
                "limits were not asked: what is over one is denied, and counts as allowed here"
            )?;
        }
        writeln!(f, "by reason")?;
        for (reason, count) in Reason::ALL.iter().zip(&self.reasons) {
            if count.packets > 0 {
                line(
                    f,
                    all,
                    *count,
                    &format!("{}: {}", reason.label(), reason.sentence()),
                )?;
            }
        }
        self.rules(f)?;
        let classes: Vec<_> = ParseClass::ALL
            .iter()
            .zip(&self.classes)
            .filter(|(_, count)| count.packets > 0)
            .collect();
        if !classes.is_empty() {
            writeln!(f, "packets of special shapes")?;
        }
        for (class, count) in classes {
            line(
                f,
                all,
                *count,
                &format!("{}: {}", class.label(), class.sentence()),
            )?;
        }
        if let Some(changed) = &self.changed {
            write!(f, "{changed}")?;
        }
        if self.disagreements > 0 {
            writeln!(
                f,
                "{} of {} packets are judged otherwise by the oracle: this is a bug in Ravelin, please report",
                self.disagreements, self.sampled
            )?;
        }
        Ok(())
    }
}

impl Summary {
    fn rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (met, idle): (Vec<&RuleCount>, Vec<&RuleCount>) = self
            .rules
            .iter()
            .partition(|rule| rule.decided.packets > 0 || rule.observed.packets > 0);
        if !met.is_empty() {
            writeln!(f, "by rule")?;
        }
        for rule in met {
            if rule.decided.packets > 0 {
                let what = format!("{} `{}`", rule.action.word(), rule.name);
                line(f, self.all, rule.decided, &what)?;
            }
            if rule.observed.packets > 0 {
                let what = format!("would {} `{}` (observes)", rule.action.word(), rule.name);
                line(f, self.all, rule.observed, &what)?;
            }
        }
        if !idle.is_empty() {
            let names: Vec<String> = idle
                .iter()
                .take(SHOWN)
                .map(|rule| format!("`{}`", rule.name))
                .collect();
            let more = match idle.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            writeln!(f, "no packet met {}{more}", names.join(", "))?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, all: Count, count: Count, what: &str) -> fmt::Result {
    // Tenths of a percent, in whole numbers.
    let share = (u128::from(count.packets) * 1_000)
        .checked_div(u128::from(all.packets))
        .unwrap_or(0);
    writeln!(
        f,
        "  {:>10}  {:>3}.{} %  {what}",
        count.packets,
        share / 10,
        share % 10
    )
}

pub(super) fn json(summary: &Summary) -> String {
    let count = |count: &Count| json!({ "packets": count.packets, "bytes": count.bytes });
    let reasons = Reason::ALL
        .iter()
        .map(|reason| reason.label())
        .zip(summary.reasons.iter());
    let classes = ParseClass::ALL
        .iter()
        .map(|class| class.label())
        .zip(summary.classes.iter());
    let met =
        |(label, counted): (&str, &Count)| (counted.packets > 0).then(|| (label.to_owned(), count(counted)));
    let rule = |rule: &RuleCount| {
        json!({
            "name": rule.name,
            "action": rule.action.word(),
            "decided": count(&rule.decided),
            "observed": count(&rule.observed),
        })
    };
    let mut document = json!({
        "all": count(&summary.all),
        "allowed": count(&summary.allowed),
        "denied": count(&summary.denied),
        "snapped": count(&summary.snapped),
        "too_short": count(&summary.too_short),
        "unknown_link_types": summary.unknown_links,
        "reasons": reasons.filter_map(met).collect::<serde_json::Map<String, Value>>(),
        "classes": classes.filter_map(met).collect::<serde_json::Map<String, Value>>(),
        "rules": summary.rules.iter().map(rule).collect::<Vec<_>>(),
        "sampled": summary.sampled,
        "disagreements": summary.disagreements,
        "judged_alone": summary.judged_alone,
        "limits_not_asked": summary.limits_not_asked,
    });
    if let (Some(changed), Some(document)) = (&summary.changed, document.as_object_mut()) {
        document.insert("changed".to_owned(), changed.to_json());
    }
    format!("{document:#}\n")
}

/// Rules named that no packet met.
const SHOWN: usize = 20;
