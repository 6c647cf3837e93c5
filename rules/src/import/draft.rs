//! A policy under way: rules with words as conditions, and what could not be said.

use std::collections::HashMap;
use std::fmt;

use super::Source;
use super::matches::{Families, Matches};
use super::states::Told;
use crate::policy::{Action, Direction, RuleName};

/// A drafted policy. `Display` is its TOML text.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(super) source: Source,
    /// What readers have to know, a paragraph each.
    pub(super) notes: Vec<String>,
    /// What happens to packets that no rule decides, if that was said.
    pub(super) inbound: Action,
    pub(super) outbound: Action,
    /// Replies pass by themselves.
    pub(super) stateful: bool,
    /// Lines that flows stand for.
    pub(super) told: Vec<Told>,
    /// The host's VPC: name and prefixes.
    pub(super) vpc: Option<(String, Vec<String>)>,
    pub(super) sets: Vec<DraftSet>,
    pub(super) rules: Vec<DraftRule>,
    unmapped: Vec<Unmapped>,
    names: HashMap<String, u32>,
    /// Of the sets.
    families: HashMap<String, Families>,
}

/// A named list of prefixes.
#[derive(Clone, Debug)]
pub(super) struct DraftSet {
    pub(super) name: String,
    pub(super) entries: Vec<String>,
}

/// A rule under way.
#[derive(Clone, Debug)]
pub(super) struct DraftRule {
    pub(super) name: String,
    pub(super) comment: String,
    pub(super) direction: Direction,
    pub(super) action: Action,
    pub(super) matches: Matches,
}

/// Something that has no counterpart in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmapped {
    /// Where it stood.
    pub place: String,
    /// What it is.
    pub what: String,
    /// Why it is not in the policy, and what to do.
    pub why: String,
}

impl fmt::Display for Unmapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.what, self.why)
    }
}

impl Draft {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            notes: Vec::new(),
            inbound: Action::Deny,
            outbound: Action::Allow,
            stateful: matches!(source, Source::AwsSecurityGroup | Source::AnypointVpc),
            told: Vec::new(),
            vpc: None,
            sets: Vec::new(),
            rules: Vec::new(),
            unmapped: Vec::new(),
            names: HashMap::new(),
            families: HashMap::new(),
        }
    }

    /// What could not be said in the policy. The policy is not what was imported while there is any.
    #[must_use]
    pub fn unmapped(&self) -> &[Unmapped] {
        &self.unmapped
    }

    /// How many rules the policy has.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Whether anything may be denied, where `default` is what happens to the rest.
    pub(super) fn denies(&self, direction: Direction, default: Action) -> bool {
        let denies = |rule: &DraftRule| rule.direction == direction && rule.action == Action::Deny;
        default == Action::Deny || self.rules.iter().any(denies)
    }

    pub(super) fn miss(&mut self, place: &str, what: impl Into<String>, why: impl Into<String>) {
        let shorten = |text: String| -> String {
            // One line each, and short: both also stand in a comment.
            let mut line: String = text
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(MAX_WORDS + 1)
                .collect();
            if line.chars().count() > MAX_WORDS {
                line.pop();
                line.push('…');
            }
            line
        };
        self.unmapped.push(Unmapped {
            place: shorten(place.to_owned()),
            what: shorten(what.into()),
            why: why.into(),
        });
    }

    /// Adds a rule; its name is made of `words`.
    pub(super) fn rule(
        &mut self,
        words: &str,
        comment: &str,
        direction: Direction,
        action: Action,
        matches: Matches,
    ) {
        if self.rules.len() >= MAX_RULES {
            if self.rules.len() == MAX_RULES && !self.unmapped.iter().any(|missing| missing.why == TOO_MANY) {
                self.miss(comment, "this rule and those after it", TOO_MANY);
            }
            return;
        }
        if let Err(why) = matches.make_sense(&self.families) {
            self.miss(comment, "this rule", why);
            return;
        }
        let name = self.name(words);
        self.rules.push(DraftRule {
            name,
            comment: comment.to_owned(),
            direction,
            action,
            matches,
        });
    }

    /// Adds a set of addresses and says its name.
    pub(super) fn set(&mut self, words: &str, entries: Vec<String>) -> String {
        let name = self.name(words);
        self.families
            .insert(name.clone(), Families::of(&entries, &HashMap::new()));
        self.sets.push(DraftSet {
            name: name.clone(),
            entries,
        });
        name
    }

    /// A name as policies want it, and no other rule or set has.
    pub(super) fn name(&mut self, words: &str) -> String {
        let mut name = String::new();
        for c in words.chars() {
            if c.is_ascii_alphanumeric() || (matches!(c, '.' | '_') && !name.is_empty()) {
                name.push(c);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
            // Room for a number behind it.
            if name.len() >= RuleName::MAX_LENGTH - 8 {
                break;
            }
        }
        let name = match name.trim_end_matches('-') {
            "" => "rule".to_owned(),
            name => name.to_owned(),
        };
        loop {
            let used = self.names.entry(name.clone()).or_insert(0);
            *used += 1;
            let numbered = match *used {
                1 => return name,
                number => format!("{name}-{number}"),
            };
            if !self.names.contains_key(&numbered) {
                self.names.insert(numbered.clone(), 1);
                return numbered;
            }
        }
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write::write(self, f)
    }
}

/// Chains that jump to chains that jump to chains multiply: a few hundred lines would fill the memory.
const MAX_RULES: usize = 16_384;

const TOO_MANY: &str = "more rules than one policy holds";

/// Characters of a description that are repeated.
const MAX_WORDS: usize = 200;
