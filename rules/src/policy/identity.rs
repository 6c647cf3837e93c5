//! Whom a certificate names: the patterns of the `allow` lists.
//!
//! A pattern is compared with the whole name, byte for byte; what a wildcard stands for is never empty.

/// The `allow` lists together: a certificate is let in by any entry of any of them.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    /// `allow_dns`, lower case.
    pub dns: Vec<NamePattern>,
    /// `allow_uri`.
    pub uri: Vec<UriPattern>,
    /// `allow_cn`.
    pub cn: Vec<NamePattern>,
    /// `allow_spki`: SHA-256 of the SubjectPublicKeyInfo.
    pub spki: Vec<[u8; 32]>,
}

impl Identities {
    /// Whether no list was written: then every certificate that an authority vouches for is let in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.uri.is_empty() && self.cn.is_empty() && self.spki.is_empty()
    }
}

/// Labels between dots; `*` stands for a label or a part of one, at most once in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(Vec<Label>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Label {
    Exact(String),
    Around { before: String, behind: String },
}

impl NamePattern {
    /// `None` when `text` is no such pattern.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return None;
        }
        let labels: Option<_> = text.split('.').map(Label::parse).collect();
        labels.map(Self)
    }

    /// Whether `name` fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut labels = name.split('.');
        self.0
            .iter()
            .all(|label| labels.next().is_some_and(|text| label.matches(text)))
            && labels.next().is_none()
    }
}

impl Label {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('*') {
            None => Some(Self::Exact(text.to_owned())),
            Some((_, behind)) if behind.contains('*') => None,
            Some((before, behind)) => Some(Self::Around {
                before: before.to_owned(),
                behind: behind.to_owned(),
            }),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(label) => label == text,
            Self::Around { before, behind } => {
                let inside = text
                    .strip_prefix(before.as_str())
                    .and_then(|rest| rest.strip_suffix(behind.as_str()));
                inside.is_some_and(|inside| !inside.is_empty())
            }
        }
    }
}

/// A URI between slashes; `*` stands for one segment, `**` at the end for one or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriPattern {
    segments: Vec<Segment>,
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Any,
    Exact(String),
}

impl UriPattern {
    /// `None` when `text` is no such pattern.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, _) = text.split_once(':')?;
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            || !scheme
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character))
            || !text.chars().all(|character| character.is_ascii_graphic())
        {
            return None;
        }
        let (closed, open) = match text.strip_suffix("/**") {
            Some(closed) => (closed, true),
            None => (text, false),
        };
        let segments = closed.split('/').map(|segment| match segment {
            "*" => Some(Segment::Any),
            exact => (!exact.contains('*')).then(|| Segment::Exact(exact.to_owned())),
        });
        let segments: Vec<_> = segments.collect::<Option<_>>()?;
        Some(Self { segments, open })
    }

    /// Whether `uri` fits. No wildcard stands for an empty segment, `.` or `..`: what they lead to is another name to some.
    #[must_use]
    pub fn matches(&self, uri: &str) -> bool {
        let wild = |text: &str| !matches!(text, "" | "." | "..");
        let mut texts = uri.split('/');
        let fits = self.segments.iter().all(|segment| {
            texts.next().is_some_and(|text| match segment {
                Segment::Any => wild(text),
                Segment::Exact(exact) => exact == text,
            })
        });
        let mut rest = texts.peekable();
        fits && rest.peek().is_some() == self.open && rest.all(wild)
    }
}

/// The fingerprint in `sha256/BASE64` (RFC 7469 writes pins so) or `sha256:HEX`; `None` when `text` is neither.
#[must_use]
pub fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    if let Some(digits) = text.strip_prefix("sha256:") {
        let mut fingerprint = [0; 32];
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (index, byte) in fingerprint.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        return Some(fingerprint);
    }
    base64(text.strip_prefix("sha256/")?)
}

/// 32 bytes are 43 digits of 6 bits, the last two bits zero, and one `=` (RFC 4648 section 4).
fn base64(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_suffix('=')?;
    if digits.len() != 43 {
        return None;
    }
    let mut fingerprint = [0; 32];
    let mut bytes = fingerprint.iter_mut();
    let (mut held, mut bits) = (0_u32, 0);
    for digit in digits.bytes() {
        held = held << 6 | u32::from(value(digit)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *bytes.next()? = u8::try_from(held >> bits).ok()?;
            held &= (1 << bits) - 1;
        }
    }
    (held == 0).then_some(fingerprint)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_in_a_name_stays_between_its_dots() {
        for (pattern, name, expected) in [
            ("billing", "billing", true),
            ("billing", "Billing", false),
            ("billing", "billing.example", false),
            ("*", "billing", true),
            ("*", "billing.example", false),
            ("*", "", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "b.a.example.com", false),
            ("*.example.com", "a.example.com.evil.net", false),
            ("api-*.example.com", "api-1.example.com", true),
            ("api-*.example.com", "api-.example.com", false),
            ("api-*-eu", "api-eu", false),
            ("api-*-eu", "api-1-eu", true),
            ("\u{e9}*\u{e9}", "\u{e9}\u{e9}", false),
        ] {
            let parsed = NamePattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(name), expected, "{pattern} {name}");
        }
        for pattern in ["", "**", "a*b*c", "a\nb"] {
            assert_eq!(NamePattern::parse(pattern), None, "{pattern:?}");
        }
    }

    #[test]
    fn a_star_in_a_uri_is_one_segment_and_two_are_the_rest() {
        for (pattern, uri, expected) in [
            ("spiffe://acme/web", "spiffe://acme/web", true),
            ("spiffe://acme/web", "spiffe://acme/web/", false),
            ("spiffe://acme/*", "spiffe://acme/web", true),
            ("spiffe://acme/*", "spiffe://acme/web/1", false),
            ("spiffe://acme/*", "spiffe://acme/", false),
            ("spiffe://acme/*", "spiffe://acme", false),
            ("spiffe://acme/*", "spiffe://acme.evil/web", false),
            ("spiffe://acme/*/db", "spiffe://acme/web/db", true),
            ("spiffe://acme/*/db", "spiffe://acme/web/x/db", false),
            ("spiffe://*/web", "spiffe://acme/web", true),
            ("spiffe://acme/**", "spiffe://acme/web", true),
            ("spiffe://acme/**", "spiffe://acme/web/1/2", true),
            ("spiffe://acme/**", "spiffe://acme", false),
            ("spiffe://acme/**", "spiffe://acme/", false),
            ("spiffe://acme/web/**", "spiffe://acme/web/../admin", false),
            ("spiffe://acme/**", "spiffe://acme//web", false),
            ("spiffe://acme/*/db", "spiffe://acme/../db", false),
            ("urn:acme:web", "urn:acme:web", true),
        ] {
            let parsed = UriPattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(uri), expected, "{pattern} {uri}");
        }
        for pattern in [
            "",
            "web",
            "*://acme/web",
            "spiffe://acme/w*",
            "spiffe://acme/**/db",
            "spiffe://acme/***",
            "spiffe://acme/a b",
            "://acme",
        ] {
            assert_eq!(UriPattern::parse(pattern), None, "{pattern:?}");
        }
    }

    #[test]
    fn both_forms_of_a_fingerprint_are_the_same_32_bytes() {
        // SHA-256 of nothing.
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let base64 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let parsed = parse_fingerprint(&format!("sha256/{base64}")).unwrap();
        assert_eq!(parse_fingerprint(&format!("sha256:{hex}")), Some(parsed));
        assert_eq!(
            parse_fingerprint(&format!("sha256:{}", hex.to_uppercase())),
            Some(parsed)
        );
        assert_eq!(parsed[..3], [0xe3, 0xb0, 0xc4]);
        assert_eq!(parsed[31], 0x55);
        for text in [
            "",
            hex,
            base64,
            "sha256:",
            "sha256/",
            &format!("sha1:{hex}"),
            &format!("sha256:{}", &hex[1..]),
            &format!("sha256:+{}", &hex[1..]),
            &format!("sha256/{}", &base64[..43]),
            // Bits behind the last byte.
            &format!("sha256/{}", base64.replace("FU=", "FV=")),
            &format!("sha256/{}", base64.replace('+', "-")),
        ] {
            assert_eq!(parse_fingerprint(text), None, "{text}");
        }
    }
}
