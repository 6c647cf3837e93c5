//! A draft as TOML that people go on with.

use std::fmt::{self, Write as _};

use super::draft::{Draft, DraftRule};
use crate::policy::Direction;

pub(super) fn write(draft: &Draft, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "# A policy made by `ravelin import {}`.", draft.source.word())?;
    for note in &draft.notes {
        writeln!(f, "#")?;
        for line in wrapped(note) {
            writeln!(f, "# {line}")?;
        }
    }
    // Where flows are kept, answers pass by themselves.
    if !draft.stateful && draft.denies(Direction::Outbound, draft.outbound) {
        writeln!(f, "#")?;
        for line in wrapped(EGRESS) {
            writeln!(f, "# {line}")?;
        }
    }
    if !draft.unmapped().is_empty() {
        writeln!(f, "#\n# Not in this policy:")?;
        for missing in draft.unmapped() {
            writeln!(f, "# - {}", line(&missing.to_string()))?;
        }
    }
    if let Some((name, prefixes)) = &draft.vpc {
        writeln!(f, "\n[host]\nvpc = {}", quoted(name))?;
        writeln!(f, "\n[[vpc]]\nname  = {}", quoted(name))?;
        writeln!(f, "cidrs = {}", words(prefixes))?;
    }
    writeln!(f, "\n[firewall]")?;
    writeln!(f, "# interfaces = [\"eth0\"]")?;
    writeln!(f, "inbound  = {}", quoted(draft.inbound.word()))?;
    writeln!(f, "outbound = {}", quoted(draft.outbound.word()))?;
    if !draft.stateful {
        writeln!(f, "stateful = false")?;
    }
    for set in &draft.sets {
        writeln!(f, "\n[[set]]\nname    = {}", quoted(&set.name))?;
        writeln!(f, "entries = {}", words(&set.entries))?;
    }
    draft.rules.iter().try_for_each(|rule| write_rule(rule, f))
}

fn write_rule(rule: &DraftRule, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let matches = &rule.matches;
    let (source, destination) = matches.addresses();
    let mut keys = vec![("name", quoted(&rule.name))];
    if rule.direction == Direction::Outbound {
        keys.push(("direction", quoted(rule.direction.word())));
    }
    keys.push(("action", quoted(rule.action.word())));
    if let Some(interface) = &matches.interface {
        keys.push(("interface", quoted(interface)));
    }
    for (key, list) in [("source", &source), ("destination", &destination)] {
        match list.as_slice() {
            [] => {}
            [word] if !word.starts_with('!') => keys.push((key, quoted(word))),
            list => keys.push((key, words(list))),
        }
    }
    let protocol = |word: &String| {
        word.parse::<u8>()
            .map_or_else(|_name| quoted(word), |number| number.to_string())
    };
    match matches.protocol.as_slice() {
        [] => {}
        [word] => keys.push(("protocol", protocol(word))),
        list => {
            let list: Vec<String> = list.iter().map(protocol).collect();
            keys.push(("protocol", format!("[{}]", list.join(", "))));
        }
    }
    for (key, ports) in [("ports", &matches.ports), ("source_ports", &matches.source_ports)] {
        if !ports.is_empty() {
            let port = |(first, last): &(u16, u16)| {
                if first == last {
                    first.to_string()
                } else {
                    quoted(&format!("{first}-{last}"))
                }
            };
            keys.push((
                key,
                format!("[{}]", ports.iter().map(port).collect::<Vec<_>>().join(", ")),
            ));
        }
    }
    if !matches.icmp.is_empty() {
        keys.push(("icmp", words(&matches.icmp)));
    }
    if let Some(flags) = &matches.tcp_flags {
        keys.push(("tcp_flags", quoted(flags)));
    }
    if !rule.comment.is_empty() {
        keys.push(("comment", quoted(&line(&rule.comment))));
    }
    let width = keys.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    writeln!(f, "\n[[rule]]")?;
    for (key, value) in keys {
        writeln!(f, "{key:width$} = {value}")?;
    }
    Ok(())
}

fn words(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|word| quoted(word)).collect();
    let one_line = format!("[{}]", quoted.join(", "));
    if one_line.len() <= MAX_WIDTH {
        return one_line;
    }
    let mut text = "[\n".to_owned();
    for word in quoted {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {word},");
    }
    text + "]"
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// One line, without what a comment must not hold.
fn line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(last) if last.len() + word.len() < MAX_WIDTH => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

const EGRESS: &str = "What the host sends is judged by the outbound rules, each packet alone: answers to connections that were \
     let in need outbound rules of their own, as answers to connections of the host need inbound ones.";

const MAX_WIDTH: usize = 100;
