//! AWS security groups: lists of what is allowed, in and out. They remember connections, as flows do.
//!
//! The union of all groups of an interface is allowed, everything else is denied
//! (docs.aws.amazon.com, "Amazon VPC user guide", security groups).

use serde_json::Value;

use super::matches::Matches;
use super::value::{list, number, prefix, protocol as protocol_of, shown, text};
use super::{Draft, ImportError, Source, chosen};
use crate::policy::{Action, Direction};

pub(super) fn import(document: &Value, id: Option<&str>) -> Result<Draft, ImportError> {
    let Some(groups) = document.get("SecurityGroups").and_then(Value::as_array) else {
        return Err(ImportError::Shape {
            source_kind: Source::AwsSecurityGroup,
            missing: "list `SecurityGroups`",
        });
    };
    let mut draft = Draft::new(Source::AwsSecurityGroup);
    let groups = chosen(groups, "GroupId", id)?;
    let mut egress = false;
    for group in &groups {
        let name = text(group, "GroupName")
            .or_else(|| text(group, "GroupId"))
            .unwrap_or("group");
        let place = text(group, "GroupId").unwrap_or(name);
        for (direction, key) in [
            (Direction::Inbound, "IpPermissions"),
            (Direction::Outbound, "IpPermissionsEgress"),
        ] {
            egress |= direction == Direction::Outbound && group.get(key).is_some();
            for (at, permission) in list(group, key).iter().enumerate() {
                let place = format!("{place} {key}[{at}]");
                permit(&mut draft, name, &place, direction, permission);
            }
        }
    }
    if egress {
        draft.outbound = Action::Deny;
    }
    Ok(draft)
}

fn permit(draft: &mut Draft, group: &str, place: &str, direction: Direction, permission: &Value) {
    for (key, inner, what) in [
        ("PrefixListIds", "PrefixListId", "prefix list"),
        ("UserIdGroupPairs", "GroupId", "security group"),
    ] {
        for peer in list(permission, key) {
            let name = peer.get(inner).map_or_else(String::new, shown);
            draft.miss(
                place,
                format!("{what} {name}"),
                "only AWS knows its addresses; write them into a `[[set]]` and add a rule",
            );
        }
    }
    let mut addresses = Vec::new();
    let mut comment = String::new();
    for (key, inner) in [("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6")] {
        for range in list(permission, key) {
            let written = range.get(inner).map_or_else(String::new, shown);
            let Some(prefix) = prefix(&written) else {
                draft.miss(place, written, "this is no prefix");
                continue;
            };
            addresses.push(prefix);
            if let Some(description) = text(range, "Description")
                && comment.is_empty()
            {
                description.clone_into(&mut comment);
            }
        }
    }
    if addresses.is_empty() {
        return;
    }
    let mut matches = match service(permission) {
        Ok(matches) => matches,
        Err(what) => {
            draft.miss(place, what, "this is no protocol with ports that AWS documents");
            return;
        }
    };
    match direction {
        Direction::Inbound => matches.source = addresses,
        Direction::Outbound => matches.destination = addresses,
    }
    let protocol = matches.protocol.first().map_or("all", String::as_str);
    let port = matches.ports.first().map(|(first, _)| format!("-{first}"));
    let words = format!(
        "{group}-{}-{protocol}{}",
        direction.word(),
        port.unwrap_or_default()
    );
    let comment = if comment.is_empty() {
        place.to_owned()
    } else {
        format!("{comment} ({place})")
    };
    draft.rule(&words, &comment, direction, Action::Allow, matches);
}

/// The protocol of a permission, with its ports or its message.
fn service(permission: &Value) -> Result<Matches, String> {
    let written = permission.get("IpProtocol").map_or_else(String::new, shown);
    let (first, last) = (number(permission, "FromPort"), number(permission, "ToPort"));
    of_protocol(&written, first, last).ok_or_else(|| {
        let ports = |port: Option<i64>| port.map_or_else(|| "none".to_owned(), |port| port.to_string());
        format!("protocol {written}, ports {} to {}", ports(first), ports(last))
    })
}

/// A protocol by AWS's word or number; for ICMP the two numbers are type and code.
pub(super) fn of_protocol(written: &str, first: Option<i64>, last: Option<i64>) -> Option<Matches> {
    let protocol = match written.to_ascii_lowercase().as_str() {
        "-1" | "all" => None,
        "tcp" | "6" => Some("tcp"),
        "udp" | "17" => Some("udp"),
        "icmp" | "1" => Some("icmp"),
        "icmpv6" | "58" => Some("icmpv6"),
        number => {
            return Some(Matches {
                protocol: vec![protocol_of(number)?],
                ..Matches::default()
            });
        }
    };
    let mut matches = Matches {
        protocol: protocol.map(ToOwned::to_owned).into_iter().collect(),
        ..Matches::default()
    };
    let given = |number: Option<i64>| number.filter(|number| *number != -1);
    match protocol {
        Some("tcp" | "udp") => {
            let port =
                |number: Option<i64>, absent| number.map_or(Some(absent), |port| u16::try_from(port).ok());
            let ports = (port(given(first), 0)?, port(given(last), u16::MAX)?);
            if ports.0 > ports.1 {
                return None;
            }
            if ports != (0, u16::MAX) {
                matches.ports.push(ports);
            }
        }
        Some("icmp" | "icmpv6") => {
            let number = |number: i64| u8::try_from(number).ok();
            match (given(first), given(last)) {
                (None, _) => {}
                (Some(kind), None) => matches.icmp.push(number(kind)?.to_string()),
                (Some(kind), Some(code)) => matches.icmp.push(format!("{}/{}", number(kind)?, number(code)?)),
            }
        }
        _ => {}
    }
    Some(matches)
}
