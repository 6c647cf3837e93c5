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
