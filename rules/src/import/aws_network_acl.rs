//! AWS network ACLs: numbered entries, the lowest that matches decides, in and out, without memory.

use serde_json::Value;

use super::aws_security_group::of_protocol;
use super::value::{list, number, prefix, shown, text};
use super::{Draft, ImportError, Source, chosen, ids};
use crate::policy::{Action, Direction};

pub(super) fn import(document: &Value, id: Option<&str>) -> Result<Draft, ImportError> {
    let Some(all) = document.get("NetworkAcls").and_then(Value::as_array) else {
        return Err(ImportError::Shape {
            source_kind: Source::AwsNetworkAcl,
            missing: "list `NetworkAcls`",
        });
    };
    let acl = match chosen(all, "NetworkAclId", id)?.as_slice() {
        [acl] => *acl,
        [] => {
            return Err(ImportError::Shape {
                source_kind: Source::AwsNetworkAcl,
                missing: "network ACL",
            });
        }
        _ => {
            return Err(ImportError::Several {
                ids: ids(all, "NetworkAclId"),
            });
        }
    };
    let mut draft = Draft::new(Source::AwsNetworkAcl);
    draft.outbound = Action::Deny;
    let name = text(acl, "NetworkAclId").unwrap_or("acl");
    let mut entries: Vec<(i64, &Value)> = Vec::new();
    for entry in list(acl, "Entries") {
        match number(entry, "RuleNumber") {
            // The last entry of every list: what nothing matched is denied.
            Some(LAST) => {}
            Some(number) => entries.push((number, entry)),
            None => draft.miss(
                name,
                shown(entry),
                "an entry without a number has no place in the order",
            ),
        }
    }
    entries.sort_by_key(|(number, _)| *number);
    for (number, entry) in entries {
        add(&mut draft, &format!("{name} entry {number}"), number, entry);
    }
    Ok(draft)
}

fn add(draft: &mut Draft, place: &str, number: i64, entry: &Value) {
    let direction = match entry.get("Egress").and_then(Value::as_bool) {
        Some(true) => Direction::Outbound,
        Some(false) => Direction::Inbound,
        None => {
            draft.miss(place, shown(entry), "it does not say whether it is about egress");
            return;
        }
    };
    let action = match text(entry, "RuleAction") {
        Some("allow") => Action::Allow,
        Some("deny") => Action::Deny,
        _ => {
            draft.miss(place, shown(entry), "its action is neither `allow` nor `deny`");
            return;
        }
    };
    let address = text(entry, "CidrBlock").or_else(|| text(entry, "Ipv6CidrBlock"));
    let Some(address) = address.and_then(prefix) else {
        draft.miss(place, shown(entry), "it has no prefix");
        return;
    };
    let protocol = entry.get("Protocol").map_or_else(String::new, shown);
    let range = |key: &str, inner: &str| entry.get(key).and_then(|range| self::number(range, inner));
    let icmp = matches!(protocol.as_str(), "1" | "58" | "icmp" | "icmpv6");
    let (first, last) = if icmp {
        (range("IcmpTypeCode", "Type"), range("IcmpTypeCode", "Code"))
    } else {
        (range("PortRange", "From"), range("PortRange", "To"))
    };
    let Some(mut matches) = of_protocol(&protocol, first, last) else {
        draft.miss(
            place,
            shown(entry),
            "this is no protocol with ports that AWS documents",
        );
        return;
    };
    match direction {
        Direction::Inbound => matches.source = vec![address],
        Direction::Outbound => matches.destination = vec![address],
    }
    let words = format!("acl-{}-{number}", direction.word());
    draft.rule(&words, place, direction, action, matches);
}

/// The number of the entry that AWS adds itself, `*` in its console.
const LAST: i64 = 32_767;
