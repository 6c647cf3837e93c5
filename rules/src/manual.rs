//! The reference page of the policy language, written from the tables that the reader itself uses.
//!
//! schema, services, codes → **Markdown**. Nothing of the language is told here twice; what is told once is how values
//! are written.

use std::fmt::Write as _;

use crate::check::{icmp, service};
use crate::diagnostic::Code;
use crate::document::schema::{Key, Need, Support, Table};
use crate::document::{ROOT, tables};

/// `docs/policy-reference.md`.
#[must_use]
pub fn policy_reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut shown = Vec::new();
    for table in tables(&ROOT) {
        write_table(&mut page, table);
        // Tables that are only written together share one example.
        if !shown.contains(&table.example) {
            let _ = writeln!(page, "\n```toml\n{}```", table.example);
            shown.push(table.example);
        }
    }
    page.push_str(VALUES);
    write_services(&mut page);
    write_messages(&mut page);
    write_later(&mut page);
    write_codes(&mut page);
    page
}

fn write_table(page: &mut String, table: &Table) {
    // Writing to a string cannot fail.
    let _ = writeln!(page, "\n## {}\n\n{}\n", table.title(), table.about);
    page.push_str("| key | takes | default | meaning |\n|---|---|---|---|\n");
    for key in table
        .keys
        .iter()
        .filter(|key| matches!(key.support, Support::Now))
    {
        let (name, takes, default) = (key.name, takes(key), default(key));
        let _ = writeln!(
            page,
            "| `{name}` | {takes} | {default} | {} |",
            cell(&key.explained())
        );
    }
}

fn takes(key: &Key) -> String {
    if !key.kind.words().is_empty() {
        return "word".to_owned();
    }
    let text = key.kind.describe();
    let text = text.strip_prefix("a ").unwrap_or(text);
    match key.kind.table() {
        Some(table) => format!("{text}: [`{}`](#{})", table.heading, anchor(table.heading)),
        None => text.to_owned(),
    }
}

/// The anchor that Markdown viewers give a heading.
fn anchor(heading: &str) -> String {
    heading
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

fn default(key: &Key) -> String {
    match key.need {
        Need::Optional(word) if key.kind.words().iter().any(|known| known.name == word) => {
            format!("`\"{word}\"`")
        }
        Need::Optional(default) => default.to_owned(),
        Need::Required => "**required**".to_owned(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn write_services(page: &mut String) {
    page.push_str("\n## Service names\n\n| name | protocols | ports |\n|---|---|---|\n");
    for service in service::SERVICES {
        let protocols: Vec<&str> = service
            .protocols
            .iter()
            .map(|number| if *number == 6 { "tcp" } else { "udp" })
            .collect();
        let ports: Vec<String> = service
            .ports
            .iter()
            .map(|(first, last)| {
                if first == last {
                    first.to_string()
                } else {
                    format!("{first}-{last}")
                }
            })
            .collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            service.name,
            protocols.join(", "),
            ports.join(", ")
        );
    }
}

fn write_messages(page: &mut String) {
    page.push_str("\n## ICMP messages\n");
    for family in [&icmp::V4, &icmp::V6] {
        let _ = writeln!(page, "\n| `{}` | type | code |\n|---|---|---|", family.protocol);
        for (name, kind, code) in family.messages {
            let code = code.map_or_else(|| "any".to_owned(), |code| code.to_string());
            let _ = writeln!(page, "| `{name}` | {kind} | {code} |");
        }
    }
}

fn write_later(page: &mut String) {
    page.push_str(LATER);
    for table in tables(&ROOT) {
        for key in table.keys {
            if let Support::Later(help) = key.support {
                let _ = writeln!(page, "| `{}` in {} | {} |", key.name, table.title(), cell(help));
            }
            for word in key.kind.words() {
                if let Support::Later(help) = word.support {
                    let _ = writeln!(
                        page,
                        "| `{} = \"{}\"` in {} | {} |",
                        key.name,
                        word.name,
                        table.title(),
                        cell(help)
                    );
                }
            }
        }
    }
    page.push_str(LATER_WORDS);
}

fn write_codes(page: &mut String) {
    page.push_str(CODES);
    for code in Code::ALL {
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            code.text(),
            code.severity().word(),
            code.sentence()
        );
    }
}

const INTRODUCTION: &str = r#"# Policy reference

<!-- Generated: `cargo run --package ravelin-rules --example policy-reference > docs/policy-reference.md`. Do not edit. -->

A policy is one TOML file, usually `/etc/ravelin/ravelin.toml`, and the files it includes. `ravelin check FILE` reads it,
reports every mistake with file, line and column, and says what to write instead; nothing is guessed, and a key that is
not on this page is an error. How a packet is judged is on its own page: [semantics](semantics.md).

A policy for a web server:

```toml
[firewall]
interfaces = ["eth0"]

[[set]]
name    = "office"
entries = ["198.51.100.0/24", "2001:db8:1::/48"]

[[rule]]
name     = "web"
action   = "allow"
protocol = ["http", "https"]

[[rule]]
name     = "ssh-from-office"
action   = "allow"
source   = "@office"
protocol = "ssh"
```
"#;

const VALUES: &str = r#"
## How values are written

| value | form | examples |
|---|---|---|
| duration | a whole number and `ms`, `s`, `m`, `h` or `d`; above zero, at most `365d` | `"500ms"`, `"10s"`, `"6h"` |
| rate | a whole number, perhaps with `k` or `M`, and `/s`, `/m` or `/h`; above zero, at most `1000M` | `"50/s"`, `"200k/s"` |
| address | IPv4 or IPv6; `::ffff:192.0.2.1` is an IPv6 address | `"192.0.2.1"`, `"2001:db8::1"` |
| prefix | an address, `/`, and a length; no bit set behind the length | `"192.0.2.0/24"`, `"2001:db8::/32"` |
| address with port | IPv6 in brackets | `"0.0.0.0:443"`, `"[::]:443"` |
| port range | two ports with `-`, the smaller one first | `"8000-8100"` |
| file | relative to the folder of the file it is written in | `"partners.txt"` |
"#;

const LATER: &str = "
## Not supported yet

These are part of the language and refused with E0104 until they work: a policy is never accepted and then half obeyed.

| what | until then |
|---|---|
";

const LATER_WORDS: &str = r#"| names in `servers` | write addresses |
"#;

const CODES: &str = "
## Diagnostics

Every message has a code whose meaning never changes. `ravelin check --format json` prints the same findings for programs.

| code | severity | what was found |
|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_on_the_page_once() {
        let page = policy_reference();
        for table in tables(&ROOT) {
            let heading = format!("\n## {}\n", table.title());
            assert_eq!(page.matches(&heading).count(), 1, "{heading}");
        }
    }
}
