//! Anypoint VPC firewall rules: what may reach the workers of a VPC; everything else is denied, but answers to what the workers
//! ask come in.
//!
//! A rule is a type, a source and ports. The types of the console that stand for ports are known here.

use serde_json::Value;

use super::matches::{Matches, ports};
use super::value::{list, number, prefix, shown, text};
use super::{Draft, ImportError, Source, chosen};
use crate::policy::{Action, Direction};

pub(super) fn import(document: &Value, id: Option<&str>) -> Result<Draft, ImportError> {
    // One VPC, a list of them as the API pages them, or the rules alone.
    let (vpc, rules) = match document {
        Value::Array(rules) => (None, rules.as_slice()),
        _ if document.get("data").is_some() => {
            let vpcs = chosen(list(document, "data"), "name", id)?;
            match vpcs.as_slice() {
                [] => (Some(document), &[][..]),
                [vpc] => (Some(*vpc), list(vpc, "firewallRules")),
                _ => {
                    return Err(ImportError::Several {
                        ids: super::ids(list(document, "data"), "name"),
                    });
                }
            }
        }
        _ => (Some(document), list(document, "firewallRules")),
    };
    if vpc.is_some_and(|vpc| vpc.get("firewallRules").is_none()) {
        return Err(ImportError::Shape {
            source_kind: Source::AnypointVpc,
            missing: "list `firewallRules`",
        });
    }
    let mut draft = Draft::new(Source::AnypointVpc);
    draft.notes.push(
        "An Anypoint VPC guards its workers, behind the load balancer: check the ports before this policy guards anything else."
            .to_owned(),
    );
    if let Some(vpc) = vpc
        && let Some(cidr) = text(vpc, "cidrBlock").and_then(prefix)
    {
        let name = draft.name(text(vpc, "name").unwrap_or("anypoint"));
        draft.vpc = Some((name, vec![cidr]));
    }
    for (at, rule) in rules.iter().enumerate() {
        add(&mut draft, &format!("firewallRules[{at}]"), rule);
    }
    Ok(draft)
}

fn add(draft: &mut Draft, place: &str, rule: &Value) {
    let kind = text(rule, "type")
        .or_else(|| text(rule, "protocol"))
        .unwrap_or_default();
    let preset = PRESETS.iter().find(|(word, _)| word.eq_ignore_ascii_case(kind));
    let protocol = match (preset, kind.to_ascii_lowercase().as_str()) {
        (Some(_), _) => "tcp",
        (None, protocol @ ("tcp" | "udp" | "icmp")) => match protocol {
            "tcp" => "tcp",
            "udp" => "udp",
            _ => "icmp",
        },
        _ => {
            draft.miss(place, shown(rule), "its type is none that the console has");
            return;
        }
    };
    let written = match (
        number(rule, "fromPort"),
        number(rule, "toPort"),
        text(rule, "portRange"),
    ) {
        (Some(first), last, _) => {
            let (first, last) = (u16::try_from(first), u16::try_from(last.unwrap_or(first)));
            first
                .ok()
                .zip(last.ok())
                .filter(|(first, last)| first <= last)
                .map(Some)
        }
        (None, _, Some(range)) => ports(&range.replace(' ', ""), '-').map(Some),
        (None, _, None) => Some(preset.map(|(_, port)| (*port, *port))),
    };
    let Some(range) = written else {
        draft.miss(place, shown(rule), "its ports are no range");
        return;
    };
    let source = text(rule, "source")
        .or_else(|| text(rule, "cidrBlock"))
        .unwrap_or_default();
    let source = match source.to_ascii_lowercase().as_str() {
        "anywhere" => ANYWHERE.to_owned(),
        "local vpc" | "local-vpc" | "localvpc" => {
            if draft.vpc.is_none() {
                draft.miss(
                    place,
                    "source Local VPC",
                    "the input does not say the prefix of the VPC; import the VPC, not the rules alone",
                );
                return;
            }
            "local-vpc".to_owned()
        }
        _ => match prefix(source) {
            Some(prefix) => prefix,
            None => {
                draft.miss(
                    place,
                    shown(rule),
                    "its source is neither a prefix, `Anywhere` nor `Local VPC`",
                );
                return;
            }
        },
    };
    let matches = Matches {
        source: vec![source],
        protocol: vec![protocol.to_owned()],
        ports: match range {
            Some(range) if protocol != "icmp" && range != (0, u16::MAX) => vec![range],
            _ => Vec::new(),
        },
        ..Matches::default()
    };
    let port = matches.ports.first().map(|(first, _)| format!("-{first}"));
    let words = match preset {
        Some((word, _)) => (*word).to_owned(),
        None => format!("{protocol}{}", port.unwrap_or_default()),
    };
    draft.rule(&words, place, Direction::Inbound, Action::Allow, matches);
}

/// The console's words and their ports.
const PRESETS: [(&str, u16); 4] = [
    ("http.port", 8081),
    ("https.port", 8082),
    ("http.private.port", 8091),
    ("https.private.port", 8092),
];

/// An Anypoint VPC has IPv4 only.
const ANYWHERE: &str = "0.0.0.0/0";
