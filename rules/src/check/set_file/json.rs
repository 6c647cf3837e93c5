//! Address lists in JSON, as those who own the addresses publish them.
//!
//! Known: AWS (`ip-ranges.json`), Google (`goog.json`, `cloud.json`), Cloudflare (the answer of its `ips` API), and Spamhaus (`drop_v4.json`:
//! one object a line). What a list is, its keys tell; nothing is guessed.

use serde::Deserialize;

/// The entries of a file and their lines (0: not known), when it is JSON at all; what is wrong with it, when it is none of the lists.
pub(super) fn entries(bytes: &[u8]) -> Option<Result<Vec<(u32, String)>, String>> {
    if !is_json(bytes) {
        return None;
    }
    if let Some(lines) = lines(bytes) {
        return Some(Ok(lines));
    }
    let list: List = match serde_json::from_slice(bytes) {
        Ok(list) => list,
        Err(error) => return Some(Err(format!("is not a JSON list that is known: {error}"))),
    };
    let mut entries = list.entries();
    entries.retain(|entry| !entry.is_empty());
    if entries.is_empty() {
        return Some(Err(
            "is JSON, and has no prefixes where AWS, Google and Cloudflare have them".to_owned(),
        ));
    }
    Some(Ok(entries.into_iter().map(|entry| (0, entry)).collect()))
}

/// Whether the file is meant to be JSON: its first character tells.
pub(super) fn is_json<'b>(bytes: impl IntoIterator<Item = &'b u8>) -> bool {
    let first = bytes.into_iter().find(|byte| !byte.is_ascii_whitespace());
    first == Some(&b'{')
}

/// One object a line, each with a `cidr`, and a last one that is about the list.
fn lines(bytes: &[u8]) -> Option<Vec<(u32, String)>> {
    let mut entries = Vec::new();
    for (number, line) in (1_u32..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(line).ok()?;
        match line.cidr {
            Some(cidr) => entries.push((number, cidr)),
            // Anything else would be an entry that is lost.
            None if line.kind.as_deref() == Some("metadata") => {}
            None => return None,
        }
    }
    (!entries.is_empty()).then_some(entries)
}

#[derive(Deserialize)]
struct Line {
    cidr: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    prefixes: Vec<Prefix>,
    #[serde(default)]
    ipv6_prefixes: Vec<Prefix>,
    result: Option<Cloudflare>,
}

/// One key of these a prefix.
#[derive(Deserialize)]
struct Prefix {
    ip_prefix: Option<String>,
    ipv6_prefix: Option<String>,
    #[serde(rename = "ipv4Prefix")]
    google_v4: Option<String>,
    #[serde(rename = "ipv6Prefix")]
    google_v6: Option<String>,
}

#[derive(Deserialize)]
struct Cloudflare {
    #[serde(default)]
    ipv4_cidrs: Vec<String>,
    #[serde(default)]
    ipv6_cidrs: Vec<String>,
}

impl List {
    fn entries(self) -> Vec<String> {
        let prefixes = self.prefixes.into_iter().chain(self.ipv6_prefixes).map(|prefix| {
            let texts = [
                prefix.ip_prefix,
                prefix.ipv6_prefix,
                prefix.google_v4,
                prefix.google_v6,
            ];
            // An object without any of them is a bad entry, not a missing one.
            texts
                .into_iter()
                .flatten()
                .next()
                .unwrap_or_else(|| "(no prefix)".to_owned())
        });
        let cidrs = self
            .result
            .into_iter()
            .flat_map(|result| result.ipv4_cidrs.into_iter().chain(result.ipv6_cidrs));
        prefixes.chain(cidrs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Vec<String> {
        let entries = entries(json.as_bytes())
            .expect("it is JSON")
            .expect("it is known");
        entries.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn the_lists_of_the_big_providers_are_read() {
        let aws = r#"{"syncToken": "1", "createDate": "2026", "prefixes": [{"ip_prefix": "3.2.34.0/26", "region": "af-south-1", "service": "AMAZON"}],
            "ipv6_prefixes": [{"ipv6_prefix": "2600:1ff2::/40", "region": "eu", "service": "EC2"}]}"#;
        assert_eq!(texts(aws), ["3.2.34.0/26", "2600:1ff2::/40"]);
        let google = r#"{"syncToken": "1", "prefixes": [{"ipv4Prefix": "8.8.4.0/24"}, {"ipv6Prefix": "2001:4860::/32"}]}"#;
        assert_eq!(texts(google), ["8.8.4.0/24", "2001:4860::/32"]);
        let cloudflare = r#"{"result": {"ipv4_cidrs": ["173.245.48.0/20"], "ipv6_cidrs": ["2400:cb00::/32"], "etag": "x"}, "success": true}"#;
        assert_eq!(texts(cloudflare), ["173.245.48.0/20", "2400:cb00::/32"]);
        let spamhaus = "{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL256894\",\"rir\":\"apnic\"}\n{\"cidr\":\"1.19.0.0/16\"}\n{\"type\":\"metadata\",\"records\":2}\n";
        assert_eq!(texts(spamhaus), ["1.10.16.0/20", "1.19.0.0/16"]);
    }

    #[test]
    fn what_is_none_of_them_is_refused_and_text_is_no_json() {
        for json in [
            "{}",
            "{\"a\": [1]}",
            "{\"prefixes\": 7}",
            "{",
            "{\"cidr\": \"1.0.0.0/8\"}\n{\"x\": 1}",
        ] {
            assert!(entries(json.as_bytes()).expect("it is JSON").is_err(), "{json}");
        }
        assert!(entries(b"192.0.2.0/24\n").is_none());
        assert_eq!(texts("{\"prefixes\": [{\"region\": \"x\"}]}"), ["(no prefix)"]);
    }
}
