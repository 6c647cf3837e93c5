//! Reading JSON that others wrote.

use ipnet::IpNet;
use serde_json::Value;

/// The list under `key`; nothing when there is none.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// A number, also one in quotes.
pub(super) fn number(value: &Value, key: &str) -> Option<i64> {
    let value = value.get(key)?;
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// The value for a message.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string().chars().take(300).collect(),
    }
}

/// A protocol as policies write it, by the names and numbers of others.
pub(super) fn protocol(word: &str) -> Option<String> {
    let number = match PROTOCOLS.iter().find(|(name, _)| *name == word) {
        Some((_, number)) => *number,
        None => word.parse().ok()?,
    };
    Some(match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        47 => "gre".to_owned(),
        50 => "esp".to_owned(),
        51 => "ah".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        number => number.to_string(),
    })
}

/// The names that nft and iptables print, those of `/etc/protocols`.
const PROTOCOLS: [(&str, u8); 20] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("comp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
];

/// A prefix in its shortest form, host bits cut off: `10.0.0.1/8` is `10.0.0.0/8` to all these firewalls.
pub(super) fn prefix(text: &str) -> Option<String> {
    let net = match text.parse::<IpNet>() {
        Ok(net) => net.trunc(),
        Err(_not_a_prefix) => IpNet::from(text.parse::<std::net::IpAddr>().ok()?),
    };
    Some(if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    })
}
