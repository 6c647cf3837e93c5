//! A set file: one address, prefix or range a line, or JSON as the big providers publish it.
//!
//! `#` and `;` start a comment, which covers plain lists, FireHOL (`# …`) and Spamhaus (`192.0.2.0/24 ; SBL123`). Every
//! line counts or is an error: an allowlist that silently loses a line locks somebody out, a blocklist lets them in.

mod json;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::prefix::PrefixError;
use super::range::{self, EntryError};
use ipnet::IpNet;

use crate::diagnostic::{Code, Reporter, Spot, quote};
use crate::policy::{Element, List, Origin};
use crate::source::{Span, read_regular};

/// What a file that was read is.
pub(super) enum Content {
    /// One entry a line: these are its bytes.
    Text(Vec<u8>),
    Json,
}

/// Reads the file into `elements`; `None` when something was reported.
pub(super) fn read(
    path: &Path,
    written: Span,
    set: &str,
    widest: Widest,
    elements: &mut Vec<Element>,
    reporter: &mut Reporter,
) -> Option<Content> {
    let bytes = match read_regular(path, MAX_SET_FILE) {
        Ok(bytes) => bytes,
        Err(error) => {
            report_unreadable(path, &error, written, reporter);
            return None;
        }
    };
    let name = path.display().to_string();
    let list = Arc::new(List {
        file: path.to_owned(),
        set: Some(set.to_owned()),
        feed: true,
    });
    let before = elements.len();
    let mut bad = BadLines::default();
    let mut wide = Wide::default();
    let mut add = |number: u32, prefixes: Vec<IpNet>| {
        for prefix in prefixes {
            if elements.len() >= MAX_ELEMENTS {
                return false;
            }
            wide.look(number, &prefix, widest);
            elements.push(Element {
                prefix,
                expires: None,
                origin: Origin {
                    list: Arc::clone(&list),
                    line: number,
                },
            });
        }
        true
    };
    let mut fits = true;
    match json::entries(&bytes) {
        Some(Ok(entries)) => {
            for (number, text) in entries {
                match range::parse(&text) {
                    Ok(prefixes) => fits = fits && add(number, prefixes),
                    Err(_) => bad.add(number, Cow::Owned(text.into_bytes())),
                }
            }
        }
        Some(Err(why)) => {
            let message = format!("set file {} {why}", quote(&name));
            let help = "name a list as AWS, Google, Cloudflare or Spamhaus publish it, or a text file with one entry a line";
            reporter.report(Code::SetFileFormat, written, message, help);
            return None;
        }
        None => {
            for (number, line) in (1_u32..).zip(bytes.split(|byte| *byte == b'\n')) {
                match prefixes(line) {
                    Some(prefixes) => fits = fits && add(number, prefixes),
                    None => bad.add(number, Cow::Borrowed(line)),
                }
            }
        }
    }
    if !fits {
        let message = format!("set `{set}` has more than {MAX_ELEMENTS} elements");
        let help = "name the right file, or write fewer and wider prefixes";
        reporter.report(Code::TooLarge, written, message, help);
        return None;
    }
    if !wide.report(path, widest, reporter) {
        return None;
    }
    if bad.count > 0 {
        bad.report(path, reporter);
        return None;
    }
    if elements.len() == before {
        let message = format!("set file {} has no entry", quote(&name));
        let help = "put at least one address or prefix into it, or take it out of `files`";
        reporter.report(Code::SetFileEmpty, written, message, help);
        return None;
    }
    Some(if is_json(&bytes) {
        Content::Json
    } else {
        Content::Text(bytes)
    })
}

/// The prefixes of a line of text: none when it is blank or a comment. `None`: it is no entry.
pub(crate) fn prefixes(line: &[u8]) -> Option<Vec<IpNet>> {
    let Some(entry) = entry(line) else {
        return Some(Vec::new());
    };
    range::parse(std::str::from_utf8(entry).ok()?).ok()
}

/// Whether the bytes are a JSON list, not text.
pub(crate) fn is_json<'b>(bytes: impl IntoIterator<Item = &'b u8>) -> bool {
    json::is_json(bytes)
}

/// The line without comment and blanks; `None` when nothing is left.
fn entry(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    let comment = line.iter().position(|byte| matches!(byte, b'#' | b';'));
    let entry = line.get(..comment.unwrap_or(line.len()))?.trim_ascii();
    (!entry.is_empty()).then_some(entry)
}

fn report_unreadable(path: &Path, error: &io::Error, written: Span, reporter: &mut Reporter) {
    let name = quote(&path.display().to_string());
    if error.kind() == io::ErrorKind::FileTooLarge {
        let message = format!("set file {name} is larger than {} MiB", MAX_SET_FILE >> 20);
        let help = "split it into several files, or name the right one";
        reporter.report(Code::TooLarge, written, message, help);
    } else {
        let message = format!("cannot read set file {name}: {error}");
        let help = "name a file that exists, relative to this one, and that this user may read";
        reporter.report(Code::SetFileUnreadable, written, message, help);
    }
}

/// The shortest prefixes that a set takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Widest {
    pub(super) v4: u8,
    pub(super) v6: u8,
}

impl Widest {
    /// The length that the prefix should at least have, when it is shorter.
    pub(crate) fn refuses(self, prefix: &IpNet) -> Option<u8> {
        let least = if prefix.addr().is_ipv4() { self.v4 } else { self.v6 };
        (prefix.prefix_len() < least).then_some(least)
    }
}

/// The first entries that are too wide, and how many there are.
#[derive(Default)]
struct Wide {
    first: Vec<(u32, IpNet)>,
    count: usize,
}

impl Wide {
    fn look(&mut self, number: u32, prefix: &IpNet, widest: Widest) {
        if widest.refuses(prefix).is_some() {
            self.count += 1;
            if self.first.len() < MAX_REPORTED_LINES {
                self.first.push((number, *prefix));
            }
        }
    }

    /// Whether there are none; reports them.
    fn report(&self, path: &Path, widest: Widest, reporter: &mut Reporter) -> bool {
        let file = Arc::new(path.to_owned());
        for (number, prefix) in &self.first {
            let least = widest.refuses(prefix).unwrap_or(0);
            let text = prefix.to_string();
            let spot = Spot::new((*number).max(1), 1, &text, 0..text.len());
            let message = format!("`{prefix}` is wider than `min_prefix`, /{least}");
            let help = "take the entry out of the file, or lower `min_prefix` if it is meant";
            reporter.report_line(Code::TooWide, &file, spot, message, help);
        }
        if self.count > self.first.len() {
            let message = format!(
                "and {} more entries that are too wide",
                self.count - self.first.len()
            );
            reporter.report_file(Code::TooWide, &file, message, "check that this is the right file");
        }
        self.count == 0
    }
}

const NOT_AN_ADDRESS: EntryError = EntryError::Prefix(PrefixError::NotAnAddress);

/// The first lines that are no entry, and how many there are.
#[derive(Default)]
struct BadLines<'f> {
    first: Vec<(u32, Cow<'f, [u8]>)>,
    count: usize,
}

impl<'f> BadLines<'f> {
    fn add(&mut self, number: u32, line: Cow<'f, [u8]>) {
        self.count += 1;
        if self.first.len() < MAX_REPORTED_LINES {
            self.first.push((number, line));
        }
    }

    fn report(&self, path: &Path, reporter: &mut Reporter) {
        let file = Arc::new(path.to_owned());
        for (number, line) in &self.first {
            report_line(&file, *number, line, reporter);
        }
        let more = self.count - self.first.len();
        if more > 0 {
            let message = format!("and {more} more lines that are not an address or a prefix");
            let help =
                "check that this is the right file: one address or prefix a line, comments after `#` or `;`";
            reporter.report_file(Code::SetFileLine, &file, message, help);
        }
    }
}

fn report_line(file: &Arc<PathBuf>, number: u32, line: &[u8], reporter: &mut Reporter) {
    let shown = line.get(..line.len().min(MAX_LINE)).unwrap_or_default();
    let text = String::from_utf8_lossy(shown);
    let entry = String::from_utf8_lossy(entry(shown).unwrap_or_default()).into_owned();
    let start = text.find(&entry).unwrap_or(0);
    let column = text.get(..start).unwrap_or_default().chars().count();
    let column = u32::try_from(column + 1).unwrap_or(u32::MAX);
    // Lines of JSON lists are not known.
    let spot = Spot::new(number.max(1), column, text.trim_end(), start..start + entry.len());
    let error = range::parse(&entry).err().unwrap_or(NOT_AN_ADDRESS);
    let help = match error {
        NOT_AN_ADDRESS => "write one address or prefix a line; start comments with `#` or `;`".to_owned(),
        other => other.help(&entry),
    };
    reporter.report_line(Code::SetFileLine, file, spot, error.message(&entry), help);
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A disk image named by mistake must not fill the memory. Ten million IPv4 prefixes fit.
pub(crate) const MAX_SET_FILE: u64 = 256 << 20;

/// The routing table of the internet is a million prefixes; a set of more is a mistake, and costs a hundred bytes each.
pub(crate) const MAX_ELEMENTS: usize = 4 << 20;

/// A file of another kind has a mistake in every line; twenty tell which kind.
const MAX_REPORTED_LINES: usize = 20;

/// What is kept of a bad line: a file without line ends is one line of megabytes.
const MAX_LINE: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blanks_and_line_ends_are_not_part_of_an_entry() {
        for (line, expected) in [
            ("192.0.2.0/24", Some("192.0.2.0/24")),
            ("  192.0.2.0/24\t\r", Some("192.0.2.0/24")),
            ("192.0.2.0/24 ; SBL123", Some("192.0.2.0/24")),
            ("192.0.2.0/24# a ; b", Some("192.0.2.0/24")),
            ("\u{feff}192.0.2.1", Some("192.0.2.1")),
            ("; Spamhaus DROP", None),
            ("# 192.0.2.1", None),
            (" \r", None),
            ("", None),
        ] {
            assert_eq!(entry(line.as_bytes()), expected.map(str::as_bytes), "{line}");
        }
    }
}
