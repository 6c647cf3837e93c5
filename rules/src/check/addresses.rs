//! Address conditions: `source`, `destination`, `allow`, `deny`.

use std::collections::HashSet;

use super::prefix;
use super::sets::{Families, Sets, origin};
use crate::diagnostic::{Code, Reporter, quote};
use crate::policy::AddressMatch;
use crate::policy::address::Element;
use crate::source::{Span, Written};

/// An address condition and the families it lets through.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) condition: AddressMatch,
    pub(super) families: Families,
}

impl Addresses {
    /// No condition.
    pub(super) fn anywhere() -> Self {
        Self {
            condition: AddressMatch::anywhere(),
            families: Families::BOTH,
        }
    }
}

/// What one address word says.
enum Word {
    Anywhere,
    Prefix(Element),
    Set(usize),
}

/// The union of the words in the list. Absent or faulty lists become no condition: a faulty one has been reported.
pub(super) fn check(
    key: &str,
    list: Option<&Written<Vec<Written<String>>>>,
    sets: &mut Sets,
    reporter: &mut Reporter,
) -> Addresses {
    let Some(list) = list else {
        return Addresses::anywhere();
    };
    if list.value.is_empty() {
        let message = format!("`{key}` is an empty list");
        let help = format!("leave `{key}` out to mean `anywhere`, or name addresses");
        reporter.report(Code::Empty, list.span, message, help);
        return Addresses::anywhere();
    }
    let (mut anywhere, mut sound) = (None, true);
    let (mut named, mut elements) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for word in &list.value {
        match read(word, sets, reporter) {
            Some(Word::Anywhere) => anywhere = Some(word.span),
            Some(Word::Prefix(element)) => elements.push(element),
            Some(Word::Set(index)) => named.extend(seen.insert(index).then_some(index)),
            None => sound = false,
        }
    }
    if let Some(span) = anywhere {
        if list.value.len() > 1 {
            let message = format!("`anywhere` covers everything else in `{key}`");
            let help = format!("write `{key} = \"anywhere\"`, or take `anywhere` out of the list");
            reporter.report(Code::AnywhereCoversAll, span, message, help);
        }
        return Addresses::anywhere();
    }
    if !sound {
        return Addresses::anywhere();
    }
    let prefixes = sets.union(named, elements, list.span, reporter);
    Addresses {
        condition: AddressMatch::among(prefixes.set),
        families: prefixes.families,
    }
}

fn read(word: &Written<String>, sets: &mut Sets, reporter: &mut Reporter) -> Option<Word> {
    let text = word.value.as_str();
    if text == "anywhere" {
        return Some(Word::Anywhere);
    }
    if let Some(name) = text.strip_prefix('@') {
        return sets.find(name, word.span, reporter).map(Word::Set);
    }
    if let Some(help) = later(text) {
        let message = format!("{} is not supported yet", quote(text));
        reporter.report(Code::NotSupported, word.span, message, help);
        return None;
    }
    match prefix::parse(text) {
        Ok(prefix) => Some(Word::Prefix(Element {
            prefix,
            expires: None,
            origin: origin(word.span, None, reporter),
        })),
        Err(error) => {
            report(text, error, word.span, reporter);
            None
        }
    }
}

fn report(text: &str, error: prefix::PrefixError, span: Span, reporter: &mut Reporter) {
    if error != prefix::PrefixError::NotAnAddress {
        reporter.report(error.code(), span, error.message(text), error.help(text));
        return;
    }
    let message = format!("{} is not an address, a prefix, or an address word", quote(text));
    let help = match text.to_ascii_lowercase().as_str() {
        "any" | "all" | "*" | "everywhere" | "anywhere" => "write `anywhere` for every address".to_owned(),
        _ if sets_have_such_names(text) => {
            format!(
                "write `anywhere`, a prefix like `192.0.2.0/24`, an address, or `@{text}` if you mean the set"
            )
        }
        _ => "write `anywhere`, `@set`, a prefix like `192.0.2.0/24` or `2001:db8::/32`, or an address"
            .to_owned(),
    };
    reporter.report(error.code(), span, message, help);
}

/// Whether a word could be the name of a set whose `@` was forgotten.
fn sets_have_such_names(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && crate::policy::RuleName::parse(text).is_some()
}

/// Words of the language that this release refuses, with what to write instead.
fn later(text: &str) -> Option<&'static str> {
    match text {
        "self" => {
            Some("write the host's addresses, or leave `destination` out: only packets to this host come in")
        }
        "local-vpc" => Some("write the prefixes of the VPC in a `[[set]]`, and `@name`"),
        _ if text.starts_with("vpc:") => Some("write the prefixes of the VPC in a `[[set]]`, and `@name`"),
        _ if text.starts_with('!') => {
            Some("write a rule with the opposite action for the excluded addresses in front of this one")
        }
        _ if is_range(text) => Some("write the range as prefixes: `192.0.2.0-192.0.2.255` is `192.0.2.0/24`"),
        _ => None,
    }
}

fn is_range(text: &str) -> bool {
    let parses = |part: &str| prefix::parse(part.trim()).is_ok();
    text.split_once('-')
        .is_some_and(|(first, last)| parses(first) && parses(last))
}
