//! Server name patterns: `api.example.com`, `*.example.com`.

use std::net::IpAddr;

use crate::diagnostic::{Code, Reporter, quote};
use crate::policy::SniPattern;
use crate::source::Written;

/// The pattern; reports a text that is none.
pub(super) fn check(written: &Written<String>, reporter: &mut Reporter) -> Option<SniPattern> {
    let pattern = parse(&written.value);
    if pattern.is_none() {
        let message = format!("{} is not a server name", quote(&written.value));
        reporter.report(Code::BadServerName, written.span, message, help(&written.value));
    }
    pattern
}

/// The pattern, if the text is one.
pub(super) fn parse(text: &str) -> Option<SniPattern> {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("*.") {
        Some(parent) => is_name(parent).then(|| SniPattern::Wildcard(parent.to_owned())),
        None => is_name(&lower).then_some(SniPattern::Exact(lower)),
    }
}

/// A DNS name as TLS carries it (RFC 6066): ASCII, no dot at the end, not an address.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label) && !numeric
}

fn help(text: &str) -> &'static str {
    if text == "*" || text.is_empty() {
        "leave `sni` out to fit every name"
    } else if !text.is_ascii() {
        "write the name as DNS has it, in ASCII: `xn--…`"
    } else if text.parse::<IpAddr>().is_ok() {
        "TLS clients never send an address as a server name; leave `sni` out to fit connections without one"
    } else if text.ends_with('.') {
        "take the dot at the end off"
    } else if text.contains('*') {
        "a `*` stands for exactly one label and comes first: `*.example.com`"
    } else {
        "write a name like `api.example.com` or `*.example.com`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_wildcards_are_read_in_lower_case() {
        assert_eq!(
            parse("API.example.com"),
            Some(SniPattern::Exact("api.example.com".to_owned()))
        );
        assert_eq!(
            parse("*.Example.com"),
            Some(SniPattern::Wildcard("example.com".to_owned()))
        );
        assert_eq!(
            parse("localhost"),
            Some(SniPattern::Exact("localhost".to_owned()))
        );
        assert_eq!(
            parse("_x.xn--bcher-kva.example"),
            Some(SniPattern::Exact("_x.xn--bcher-kva.example".to_owned()))
        );
    }

    #[test]
    fn other_texts_are_no_server_names() {
        let long = format!("{}.example", "x".repeat(64));
        for text in [
            "",
            "*",
            "*.",
            "*.*.example.com",
            "a.*.example.com",
            "a*.example.com",
            "example.com.",
            ".example.com",
            "a..b",
            "bücher.example",
            "192.0.2.1",
            "2001:db8::1",
            "-a.example",
            "a b",
            &long,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
