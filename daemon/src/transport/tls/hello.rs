//! The `ClientHello`, as far as a route is chosen by it: server name, application protocols, versions.
//!
//! bytes of a client → **hello** → route. A pure function of bytes that grow, on records that may cut the message anywhere. It reads what
//! RFC 9846 (sections 4.2, 5.1) and RFC 6066 (section 3) say and is no kinder than they are: a name that is read in two ways would lead
//! to an upstream that nobody meant.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// A whole `ClientHello`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version field, which TLS 1.3 leaves at 1.2: `0x0303`.
    pub legacy_version: u16,
    /// The name in the `server_name` extension: lower case, without the dot of a rooted name. An address is no name.
    pub server_name: Option<String>,
    /// What the ALPN extension offers, as it came: each protocol behind a byte with its length. A list of texts would take thirty times
    /// the memory, at the choice of the client.
    alpn: Vec<u8>,
    /// What the `supported_versions` extension offers; empty below TLS 1.3.
    pub versions: Vec<u16>,
}

impl Hello {
    /// The protocols that the ALPN extension offers, most wanted first.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let mut list = Bytes(&self.alpn);
        std::iter::from_fn(move || list.list(1).map(|protocol| protocol.0))
    }
}

/// Why there is no hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparsed {
    /// It goes on: no hello before there are this many bytes. They may show before that there will be none.
    Incomplete(usize),
    /// A handshake begins with another message.
    NotHello,
    /// The first byte is not of a TLS handshake.
    NotTls,
    /// It breaks the rules.
    Malformed,
    /// It is longer than it may be.
    TooLarge,
}

impl fmt::Display for Unparsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete(_) => "the ClientHello is incomplete",
            Self::NotHello => "the first message is not a ClientHello",
            Self::NotTls => "the first byte is not of TLS",
            Self::Malformed => "the ClientHello is malformed",
            Self::TooLarge => "the ClientHello is larger than 64 KiB",
        })
    }
}

impl std::error::Error for Unparsed {}

/// Reads the hello that `bytes` begin with.
///
/// # Errors
///
/// [`Unparsed`]; only `Incomplete` may change with more bytes.
pub fn parse(bytes: &[u8]) -> Result<Hello, Unparsed> {
    read(&message(bytes)?).ok_or(Unparsed::Malformed)
}

/// The handshake message that the records carry; copied only if it is in more than one.
fn message(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Unparsed> {
    let first = fragment(bytes, 0)?;
    if first.first() != Some(&CLIENT_HELLO) {
        return Err(Unparsed::NotHello);
    }
    let (mut at, mut seen, mut head) = (0, 0, [0; MESSAGE_HEADER_BYTES]);
    let total = loop {
        let fragment = fragment(bytes, at)?;
        for (slot, byte) in head.iter_mut().skip(seen).zip(fragment) {
            *slot = *byte;
        }
        seen += fragment.len();
        at += RECORD_HEADER_BYTES + fragment.len();
        if seen < MESSAGE_HEADER_BYTES {
            continue;
        }
        let [_, length @ ..] = head;
        let total = MESSAGE_HEADER_BYTES + number(&length);
        if total > MAX_MESSAGE_BYTES {
            return Err(Unparsed::TooLarge);
        }
        if seen >= total {
            break total;
        }
    };
    // Nothing may follow in its last record: keys change behind it (RFC 9846, section 5.1).
    if seen > total {
        return Err(Unparsed::Malformed);
    }
    if first.len() == total {
        return Ok(Cow::Borrowed(first));
    }
    let (mut at, mut message) = (0, Vec::with_capacity(total));
    while message.len() < total {
        let fragment = fragment(bytes, at)?;
        message.extend_from_slice(fragment);
        at += RECORD_HEADER_BYTES + fragment.len();
    }
    Ok(Cow::Owned(message))
}

/// What is inside the record at `at`; never empty.
fn fragment(bytes: &[u8], at: usize) -> Result<&[u8], Unparsed> {
    if at + RECORD_HEADER_BYTES > MAX_WIRE_BYTES {
        return Err(Unparsed::TooLarge);
    }
    let record = bytes.get(at..).unwrap_or_default();
    match record {
        [HANDSHAKE_RECORD] | [HANDSHAKE_RECORD, MAJOR_VERSION, ..] | [] => {}
        [other, ..] if at == 0 && *other != HANDSHAKE_RECORD => return Err(Unparsed::NotTls),
        // Another kind of record in the midst of a message, or a version that is of no TLS.
        _ => return Err(Unparsed::Malformed),
    }
    let Some((header, rest)) = record.split_first_chunk::<RECORD_HEADER_BYTES>() else {
        return Err(Unparsed::Incomplete(at + RECORD_HEADER_BYTES));
    };
    let [_, _, _, length @ ..] = header;
    let length = number(length);
    if length == 0 || length > MAX_FRAGMENT_BYTES {
        return Err(Unparsed::Malformed);
    }
    let end = at + RECORD_HEADER_BYTES + length;
    if end > MAX_WIRE_BYTES {
        return Err(Unparsed::TooLarge);
    }
    rest.get(..length).ok_or(Unparsed::Incomplete(end))
}

/// The whole message; `None`: malformed.
fn read(message: &[u8]) -> Option<Hello> {
    let mut hello = Bytes(message.get(MESSAGE_HEADER_BYTES..)?);
    let legacy_version = hello.u16()?;
    hello.take(RANDOM_BYTES)?;
    hello
        .list(1)
        .filter(|session| session.0.len() <= MAX_SESSION_BYTES)?;
    hello
        .list(2)
        .filter(|suites| !suites.is_empty() && suites.0.len() % 2 == 0)?;
    hello.list(1).filter(|compressions| !compressions.is_empty())?;
    let (mut server_name, mut alpn, mut versions) = (None, None, None);
    // Before TLS 1.2 a hello could end here.
    let mut extensions = if hello.is_empty() {
        Bytes(&[])
    } else {
        hello.list(2)?
    };
    if !hello.is_empty() {
        return None;
    }
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let content = extensions.list(2)?;
        // Two of a kind are one too many: which of them counts would be anybody's guess.
        let twice = match kind {
            SERVER_NAME => server_name.replace(self::server_name(content)?).is_some(),
            ALPN => alpn.replace(protocols(content)?).is_some(),
            SUPPORTED_VERSIONS => versions.replace(self::versions(content)?).is_some(),
            _ => false,
        };
        if twice {
            return None;
        }
    }
    Some(Hello {
        legacy_version,
        server_name: server_name.flatten(),
        alpn: alpn.unwrap_or_default(),
        versions: versions.unwrap_or_default(),
    })
}

/// `ServerNameList`: one `host_name`. The outer `None` is malformed, the inner one an address, which is no name.
fn server_name(mut content: Bytes<'_>) -> Option<Option<String>> {
    let mut names = content.list(2).filter(|_| content.is_empty())?;
    if names.u8()? != HOST_NAME {
        return None;
    }
    let name = names.list(2)?;
    // There is one kind of names, and one name of each kind.
    if !names.is_empty() {
        return None;
    }
    let name = std::str::from_utf8(name.0).ok()?;
    if name.parse::<IpAddr>().is_ok() {
        return Some(None);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(fits)
    };
    let is_name = name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label);
    is_name.then(|| Some(name.to_ascii_lowercase()))
}

/// `ProtocolNameList`, RFC 7301 section 3.1.
fn protocols(mut content: Bytes<'_>) -> Option<Vec<u8>> {
    let list = content
        .list(2)
        .filter(|list| content.is_empty() && !list.is_empty())?;
    let mut rest = list;
    while !rest.is_empty() {
        rest.list(1).filter(|name| !name.is_empty())?;
    }
    Some(list.0.to_vec())
}

fn versions(mut content: Bytes<'_>) -> Option<Vec<u16>> {
    let mut list = content
        .list(1)
        .filter(|list| content.is_empty() && !list.is_empty())?;
    let mut versions = Vec::new();
    while !list.is_empty() {
        versions.push(list.u16()?);
    }
    Some(versions)
}

/// Bytes that are read from the front. `None`: there are not so many.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        let (number, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*number))
    }

    /// What stands behind its own length, which takes `width` bytes.
    fn list(&mut self, width: usize) -> Option<Self> {
        let length = number(self.take(width)?);
        self.take(length).map(Self)
    }
}

/// Of at most three bytes, the first one weighs most.
fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// A handshake message: 64 KiB with its header. Real ones are below 4 KiB, also with keys against quantum computers. Without the bound
/// a hello could announce 16 MiB, and a crowd of them fill the memory.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// The same with the headers of its records, which can be a byte long each. Whoever cuts a long message into crumbs makes us hold six
/// times its length; this is room for the longest message in pieces of 16 bytes and for a real one in pieces of one.
pub const MAX_WIRE_BYTES: usize = 84 << 10;

/// `TLSPlaintext.length`, RFC 9846 section 5.1.
const MAX_FRAGMENT_BYTES: usize = 1 << 14;

const RECORD_HEADER_BYTES: usize = 5;
const MESSAGE_HEADER_BYTES: usize = 4;
const RANDOM_BYTES: usize = 32;
const MAX_SESSION_BYTES: usize = 32;

/// RFC 1035, section 2.3.4.
const MAX_LABEL_BYTES: usize = 63;
/// The same, as text.
const MAX_NAME_BYTES: usize = 253;

/// `ContentType` handshake.
const HANDSHAKE_RECORD: u8 = 22;
/// The first byte of the version of every record since SSL 3.0.
const MAJOR_VERSION: u8 = 3;
const CLIENT_HELLO: u8 = 1;
const HOST_NAME: u8 = 0;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

#[cfg(test)]
mod tests {
    use super::*;

    fn with_length(width: usize, bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length[4 - width..], bytes].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &with_length(2, content)].concat()
    }

    fn named(name: &[u8]) -> Vec<u8> {
        let entry = [&[HOST_NAME][..], &with_length(2, name)].concat();
        extension(SERVER_NAME, &with_length(2, &entry))
    }

    /// The message, not in records yet.
    fn hello(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; RANDOM_BYTES]);
        body.extend(with_length(1, &[9; MAX_SESSION_BYTES]));
        body.extend(with_length(2, &[0x13, 0x01]));
        body.extend(with_length(1, &[0]));
        body.extend(with_length(2, extensions));
        [&[CLIENT_HELLO][..], &with_length(3, &body)].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |fragment| [&[HANDSHAKE_RECORD, 3, 1][..], &with_length(2, fragment)].concat();
        message.chunks(size).flat_map(record).collect()
    }

    fn parsed(extensions: &[u8]) -> Result<Hello, Unparsed> {
        parse(&records(&hello(extensions), MAX_FRAGMENT_BYTES))
    }

    fn name(name: &[u8]) -> Result<Option<String>, Unparsed> {
        parsed(&named(name)).map(|hello| hello.server_name)
    }

    #[test]
    fn name_protocols_and_versions_are_read_past_what_is_unknown() {
        let extensions = [
            extension(0x0a0a, b""),
            named(b"DB.example.com."),
            extension(ALPN, &with_length(2, b"\x02h2\x08http/1.1")),
            extension(SUPPORTED_VERSIONS, b"\x04\x03\x04\x03\x03"),
            extension(0xfe0d, &[1; 300]),
        ];
        let hello = parsed(&extensions.concat()).unwrap();
        assert_eq!(hello.legacy_version, 0x0303);
        assert_eq!(hello.server_name.as_deref(), Some("db.example.com"));
        assert!(hello.alpn().eq([&b"h2"[..], b"http/1.1"]));
        assert_eq!(hello.versions, [0x0304, 0x0303]);
        let bare = parsed(b"").unwrap();
        assert!(bare.server_name.is_none() && bare.alpn().next().is_none() && bare.versions.is_empty());
    }

    #[test]
    fn a_hello_from_before_extensions_is_one() {
        let mut body = vec![3, 1];
        body.extend([7; RANDOM_BYTES]);
        body.extend(b"\x00\x00\x02\x00\x2f\x01\x00");
        let message = [&[CLIENT_HELLO][..], &with_length(3, &body)].concat();
        let hello = parse(&records(&message, 1000)).unwrap();
        assert_eq!((hello.legacy_version, hello.server_name), (0x0301, None));
    }

    #[test]
    fn a_name_is_of_letters_digits_hyphens_and_underscores_and_an_address_is_none() {
        for (written, expected) in [
            ("a", Some("a")),
            ("_dmarc.A-1.Example", Some("_dmarc.a-1.example")),
            ("192.0.2.1", None),
            ("2001:db8::1", None),
        ] {
            assert_eq!(
                name(written.as_bytes()).unwrap().as_deref(),
                expected,
                "{written}"
            );
        }
        let label = "x".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", &label[..61]);
        assert!(name(longest.as_bytes()).unwrap().is_some());
        for other in [
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            "a b",
            "a/b",
            "a\0",
            "*.example.com",
            "b\u{fc}cher.example",
            "[2001:db8::1]",
            "a\n",
        ] {
            assert_eq!(name(other.as_bytes()), Err(Unparsed::Malformed), "{other:?}");
        }
        assert_eq!(name(b"\xff\xfe"), Err(Unparsed::Malformed));
        assert_eq!(name(format!("{longest}x").as_bytes()), Err(Unparsed::Malformed));
        assert_eq!(name("x".repeat(64).as_bytes()), Err(Unparsed::Malformed));
    }

    #[test]
    fn two_names_are_one_too_many() {
        let entry = b"\x00\x00\x01a";
        let both = extension(SERVER_NAME, &with_length(2, &[&entry[..], entry].concat()));
        let other_kind = extension(SERVER_NAME, &with_length(2, b"\x01\x00\x01a"));
        let empty = extension(SERVER_NAME, &with_length(2, b""));
        let protocols = extension(ALPN, &with_length(2, b"\x02h2"));
        let versions = extension(SUPPORTED_VERSIONS, b"\x02\x03\x04");
        for wrong in [
            both,
            other_kind,
            empty,
            extension(SERVER_NAME, b""),
            named(b"a").repeat(2),
            protocols.repeat(2),
            versions.repeat(2),
            extension(ALPN, &with_length(2, b"")),
            extension(ALPN, &with_length(2, b"\0")),
            extension(SUPPORTED_VERSIONS, b"\x03\x03\x04\x03"),
            extension(SUPPORTED_VERSIONS, b"\0"),
            named(b"a")[..6].to_vec(),
        ] {
            assert_eq!(parsed(&wrong), Err(Unparsed::Malformed), "{wrong:x?}");
        }
    }

    #[test]
    fn records_may_cut_the_message_anywhere_and_segments_the_records() {
        let message = hello(&[named(b"db.example.com"), extension(51, &[5; 1216])].concat());
        for size in [1, 2, 3, 4, 5, 100, message.len() - 1, message.len()] {
            let bytes = records(&message, size);
            let mut length = 0;
            while length < bytes.len() {
                let Err(Unparsed::Incomplete(needed)) = parse(&bytes[..length]) else {
                    panic!("{length} bytes of records of {size} were enough")
                };
                assert!((length + 1..=bytes.len()).contains(&needed));
                // No byte before that one would have helped.
                assert_eq!(parse(&bytes[..needed - 1]), Err(Unparsed::Incomplete(needed)));
                length = needed;
            }
            assert_eq!(
                parse(&bytes).unwrap().server_name.as_deref(),
                Some("db.example.com")
            );
            // The next record is somebody else's business.
            assert!(parse(&[&bytes[..], b"\x17\x03\x03"].concat()).is_ok());
        }
    }

    #[test]
    fn what_is_no_hello_is_told_at_the_first_byte_that_shows_it() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], Unparsed::NotTls),
            (b"\0", Unparsed::NotTls),
            (b"\x15\x03\x03\x00\x02", Unparsed::NotTls),
            (b"\x80\x2e\x01\x03\x01", Unparsed::NotTls),
            (b"\x16\x02", Unparsed::Malformed),
            (b"\x16\x03\x01\x00\x00", Unparsed::Malformed),
            (b"\x16\x03\x01\x40\x01", Unparsed::Malformed),
            (b"\x16\x03\x01\x00\x01\x02", Unparsed::NotHello),
            (b"\x16\x03\x01\x00\x01\x01\x17", Unparsed::Malformed),
            (b"\x16\x03\x01\x00\x04\x01\x00\xff\xfd", Unparsed::TooLarge),
            (b"", Unparsed::Incomplete(5)),
            (b"\x16", Unparsed::Incomplete(5)),
        ] {
            assert_eq!(parse(bytes), Err(expected), "{bytes:x?}");
        }
        let trailing = [hello(b""), vec![0]].concat();
        assert_eq!(parse(&records(&trailing, 1000)), Err(Unparsed::Malformed));
    }

    #[test]
    fn the_bound_is_64_kibibytes_and_crumbs_count_what_they_weigh() {
        let fixed = hello(&extension(21, b"")).len();
        let longest = hello(&extension(21, &vec![0; MAX_MESSAGE_BYTES - fixed]));
        assert_eq!(longest.len(), MAX_MESSAGE_BYTES);
        for size in [16, MAX_FRAGMENT_BYTES] {
            assert!(parse(&records(&longest, size)).is_ok());
        }
        let crumbs = records(&longest, 15);
        let held = (1..crumbs.len())
            .find(|length| !matches!(parse(&crumbs[..*length]), Err(Unparsed::Incomplete(_))));
        assert!(held.is_some_and(|held| held <= MAX_WIRE_BYTES));
        assert_eq!(parse(&crumbs), Err(Unparsed::TooLarge));
    }
}
