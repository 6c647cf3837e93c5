//! The text form of a packet: `ether / ipv4 source=192.0.2.1 / tcp port=443 flags=syn / cut to=40`.

use std::fmt;

use super::{Kind, Layer, Packet, Value};

pub(super) fn parse(text: &str) -> Result<Packet, String> {
    let mut layers = Vec::new();
    for part in text.split('/') {
        let mut words = part.split_whitespace();
        let word = words
            .next()
            .ok_or_else(|| format!("an empty layer in `{text}`"))?;
        let kind = Kind::ALL.iter().find(|kind| kind.word() == word);
        let kind = *kind.ok_or_else(|| format!("unknown layer `{word}` in `{text}`"))?;
        let mut layer = Layer {
            kind,
            fields: Vec::new(),
        };
        for word in words {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("`{word}` is not `field=value`"))?;
            layer.set(name, value_of(name, value)?)?;
        }
        layers.push(layer);
    }
    Ok(Packet { layers })
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, layer) in self.layers.iter().enumerate() {
            if at > 0 {
                f.write_str(" / ")?;
            }
            f.write_str(layer.kind.word())?;
            for (name, value) in &layer.fields {
                write!(f, " {name}=")?;
                match value {
                    Value::Number(number) if is_tcp_flags(layer, name) => {
                        f.write_str(&flag_words(*number))?
                    }
                    Value::Number(number) if IN_HEX.contains(name) => write!(f, "{number:#x}")?,
                    Value::Number(number) => write!(f, "{number}")?,
                    Value::Address(address) => write!(f, "{address}")?,
                    Value::Bytes(bytes) => f.write_str(&hex(bytes))?,
                }
            }
        }
        Ok(())
    }
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads hexadecimal digits; blanks are skipped.
///
/// # Errors
/// What is wrong with the text.
pub fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("`{text}` is not a whole number of hexadecimal bytes");
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).ok_or_else(wrong))
        .collect::<Result<_, _>>()?;
    if digits.len() % 2 == 1 {
        return Err(wrong());
    }
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).map_err(|error| error.to_string()))
        .collect()
}

fn value_of(name: &str, text: &str) -> Result<Value, String> {
    match name {
        "source" | "destination" => text
            .parse()
            .map(Value::Address)
            .map_err(|_why| format!("`{text}` is not an address")),
        "bytes" | "option-bytes" => from_hex(text).map(Value::Bytes),
        "flags" => flag_bits(text).map(Value::Number),
        _ => number(text).map(Value::Number),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_why| format!("`{text}` is not a number"))
}

fn is_tcp_flags(layer: &Layer, name: &str) -> bool {
    layer.kind == Kind::Tcp && name == "flags"
}

fn flag_bits(text: &str) -> Result<u64, String> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return number(text);
    }
    text.split(',')
        .filter(|word| *word != "none")
        .try_fold(0, |bits, word| {
            match TCP_FLAGS.iter().position(|flag| *flag == word) {
                Some(bit) => Ok(bits | 1 << bit),
                None => Err(format!("unknown TCP flag `{word}`")),
            }
        })
}

fn flag_words(bits: u64) -> String {
    let set = TCP_FLAGS
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 == 1);
    let words: Vec<&str> = set.map(|(_, word)| *word).collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(",")
    }
}

/// In the order of the bits (RFC 9293).
const TCP_FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

const IN_HEX: [&str; 4] = ["type", "tpid", "byte", "checksum"];

#[cfg(test)]
mod tests {
    use super::super::ether;
    use super::*;

    #[test]
    fn what_is_printed_is_what_is_parsed() {
        let packets = [
            ether()
                .ipv4()
                .source("198.51.100.7")
                .tcp(443)
                .with("flags", 0x12)
                .cut(40),
            ether()
                .vlan(7)
                .with("tpid", 0x88a8)
                .vlan(0)
                .ipv6()
                .fragment(1, true)
                .payload(8),
            ether()
                .ipv6()
                .destination("::ffff:192.0.2.1")
                .icmpv6(135, 0)
                .set(20, 255)
                .pad(80),
            Packet::raw(&[1, 2, 0xab]),
        ];
        for packet in packets {
            assert_eq!(Packet::parse(&packet.to_string()), Ok(packet));
        }
    }

    #[test]
    fn a_field_that_does_not_exist_is_named() {
        let error = Packet::parse("ether / vlan port=3").unwrap_err();
        assert_eq!(error, "`vlan` has no field `port`, only `id`, `tpid`, `type`");
    }
}
