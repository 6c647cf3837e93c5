//! nftables rulesets: the base chains at the hooks `input` and `output`, in the families `inet`, `ip` and `ip6`.
//!
//! The JSON is described in libnftables-json(5).

mod expression;

use std::collections::HashMap;

use serde_json::Value;

use super::chains::{Chains, End, Line, flatten};
use super::matches::{Family, Matches};
use super::states;
use super::value::{list, number, shown, text};
use super::{Draft, ImportError, Source};
use crate::policy::{Action, Direction};
use expression::{Elements, Read, Words};

pub(super) fn import(document: &Value) -> Result<Draft, ImportError> {
    let Some(objects) = document.get("nftables").and_then(Value::as_array) else {
        return Err(ImportError::Shape {
            source_kind: Source::Nftables,
            missing: "list `nftables`",
        });
    };
    let mut draft = Draft::new(Source::Nftables);
    draft.inbound = Action::Allow;
    let mut ruleset = Ruleset::default();
    for object in objects {
        let Some((kind, value)) = object.as_object().and_then(|object| object.iter().next()) else {
            continue;
        };
        match kind.as_str() {
            "chain" => ruleset.chain(&mut draft, value),
            "set" | "map" => ruleset.set(&mut draft, kind, value),
            "rule" => ruleset.rules.push(value),
            "metainfo" | "table" | "counter" => {}
            other => {
                let name = text(value, "name").unwrap_or_default();
                draft.miss(
                    &format!("{other} {name}"),
                    shown(object),
                    "a policy has nothing like it",
                );
            }
        }
    }
    ruleset.read_rules(&mut draft);
    ruleset.draft_chains(&mut draft);
    states::conclude(&mut draft);
    Ok(draft)
}

/// Where chains and sets live: family and table.
type Table = (String, String);

#[derive(Default)]
struct Ruleset<'a> {
    bases: Vec<Base>,
    sets: HashMap<(Table, String), Words>,
    rules: Vec<&'a Value>,
    chains: HashMap<Table, Chains>,
}

/// A chain that the kernel asks.
struct Base {
    table: Table,
    name: String,
    direction: Direction,
    priority: i64,
    policy: Action,
}

impl<'a> Ruleset<'a> {
    fn chain(&mut self, draft: &mut Draft, chain: &Value) {
        let Some(hook) = text(chain, "hook") else {
            return;
        };
        let (table, name) = (table_of(chain), text(chain, "name").unwrap_or_default());
        let place = format!("chain {} {} {name}", table.0, table.1);
        let direction = match (text(chain, "type"), hook, table.0.as_str()) {
            (Some("filter"), "input", "inet" | "ip" | "ip6") => Direction::Inbound,
            (Some("filter"), "output", "inet" | "ip" | "ip6") => Direction::Outbound,
            _ => {
                draft.miss(
                    &place,
                    format!("hook {hook}"),
                    "only filter chains at the hooks input and output guard this host's own traffic",
                );
                return;
            }
        };
        let policy = match text(chain, "policy") {
            Some("drop") => Action::Deny,
            _ => Action::Allow,
        };
        self.bases.push(Base {
            table,
            name: name.to_owned(),
            direction,
            priority: number(chain, "prio").unwrap_or(0),
            policy,
        });
    }

    fn set(&mut self, draft: &mut Draft, kind: &str, set: &Value) {
        let (table, name) = (table_of(set), text(set, "name").unwrap_or_default());
        let place = format!("{kind} {} {} {name}", table.0, table.1);
        if kind == "map" {
            draft.miss(&place, "a map", "a policy has none; write rules");
            return;
        }
        let words = match expression::elements(list(set, "elem")) {
            Some(Elements::Addresses(entries)) if entries.is_empty() => Words::Empty,
            Some(Elements::Addresses(entries)) => Words::Addresses(draft.set(name, entries)),
            Some(Elements::Ports(ports)) => Words::Ports(ports),
            None => {
                draft.miss(&place, "its elements", "they are neither addresses nor ports");
                return;
            }
        };
        self.sets.insert((table, name.to_owned()), words);
    }

    fn read_rules(&mut self, draft: &mut Draft) {
        for rule in std::mem::take(&mut self.rules) {
            let table = table_of(rule);
            let chain = text(rule, "chain").unwrap_or_default();
            let handle =
                number(rule, "handle").map_or_else(String::new, |handle| format!(" handle {handle}"));
            let place = format!("{} {} {chain}{handle}", table.0, table.1);
            let family = match table.0.as_str() {
                "ip" => Some(Family::V4),
                "ip6" => Some(Family::V6),
                _ => None,
            };
            let read = Read {
                matches: Matches {
                    family,
                    ..Matches::default()
                },
                end: None,
                state: None,
            };
            let set = |name: &str| self.sets.get(&(table.clone(), name.to_owned()));
            let read = match read.rule(list(rule, "expr"), set) {
                Ok(read) => read,
                Err((what, why)) => {
                    draft.miss(&place, what, why);
                    continue;
                }
            };
            let Some(end) = read.end else {
                continue;
            };
            if read.matches.interface.as_deref() == Some("lo") {
                if end != End::Decide(Action::Allow) {
                    let why = "packets of the loopback interface are always let in (`essentials`)";
                    draft.miss(&place, "a rule for lo", why);
                }
                continue;
            }
            let protocol = read.matches.protocol.first().map_or("all", String::as_str);
            let port = read.matches.ports.first().map(|(first, _)| format!("-{first}"));
            let comment = text(rule, "comment");
            let line = Line {
                words: comment.map_or_else(
                    || format!("{chain}-{protocol}{}", port.unwrap_or_default()),
                    ToOwned::to_owned,
                ),
                comment: comment.map_or_else(|| place.clone(), |comment| format!("{comment} ({place})")),
                place,
                matches: read.matches,
                end,
                stateful: read.state.is_some(),
            };
            let chains = self.chains.entry(table).or_default();
            chains.entry(chain.to_owned()).or_default().push(line);
        }
    }

    /// A packet has to pass every base chain of its hook; a policy is one list. The chains that only deny can stand in front.
    fn draft_chains(&mut self, draft: &mut Draft) {
        let bases = std::mem::take(&mut self.bases);
        for direction in Direction::ALL {
            let mut of_hook: Vec<&Base> = bases.iter().filter(|base| base.direction == direction).collect();
            of_hook.sort_by_key(|base| base.priority);
            if of_hook.iter().any(|base| base.policy == Action::Deny) {
                match direction {
                    Direction::Inbound => draft.inbound = Action::Deny,
                    Direction::Outbound => draft.outbound = Action::Deny,
                }
            }
            let default = match direction {
                Direction::Inbound => draft.inbound,
                Direction::Outbound => draft.outbound,
            };
            let mut seen: Vec<&str> = Vec::new();
            for base in of_hook {
                let family = base.table.0.as_str();
                let place = format!("chain {} {} {}", family, base.table.1, base.name);
                // `inet` is about both families.
                if seen
                    .iter()
                    .any(|other| *other == family || *other == "inet" || family == "inet")
                {
                    draft.miss(
                        &place,
                        "another chain at the same hook",
                        "a packet has to pass both, and a policy is one list; join them",
                    );
                    continue;
                }
                seen.push(family);
                if let Some(chains) = self.chains.get(&base.table) {
                    flatten(draft, chains, &base.name, direction);
                }
                if base.policy != default {
                    let matches = Matches {
                        family: match family {
                            "ip" => Some(Family::V4),
                            "ip6" => Some(Family::V6),
                            _ => None,
                        },
                        ..Matches::default()
                    };
                    let words = format!("{family}-{}-policy", base.name);
                    draft.rule(&words, &place, direction, base.policy, matches);
                }
            }
            if default == Action::Deny && !seen.is_empty() && !seen.contains(&"inet") && seen.len() == 1 {
                let why = "the ruleset has no chain for the other family at this hook, which lets it pass; here it is denied";
                draft.miss(&format!("hook of {}", direction.word()), "the other family", why);
            }
        }
    }
}

fn table_of(value: &Value) -> Table {
    let text = |key| text(value, key).unwrap_or_default().to_owned();
    (text("family"), text("table"))
}
