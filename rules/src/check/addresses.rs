//! Address conditions: `source`, `destination`, `allow`, `deny`.

use std::collections::HashSet;

use super::prefix::PrefixError;
use super::range::{self, EntryError};
use super::sets::{Families, Prefixes, Sets, origin};
use super::zones::Zones;
use crate::diagnostic::{Code, Reporter, quote};
use crate::policy::{AddressMatch, Element, PrefixSet, Scope, Vpc};
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

/// Whom the words stand for something to.
pub(super) struct Words<'a> {
    pub(super) sets: &'a mut Sets,
    pub(super) zones: &'a Zones,
    pub(super) never_ban: &'a PrefixSet,
}

/// Who asks for addresses.
#[derive(Clone, Copy)]
pub(super) enum Asker<'a> {
    Listener,
    /// A rule of this scope, which may deny.
    Rule {
        scope: &'a Scope,
        denies: bool,
    },
}

/// What one address word says.
enum Word {
    Anywhere,
    Prefixes(Vec<Element>),
    Own,
    Set(usize),
}

/// One half of a list: the words without `!`, or those with it.
#[derive(Default)]
struct Half {
    named: Vec<usize>,
    elements: Vec<Element>,
    own: bool,
    /// Sets that are named already.
    seen: HashSet<usize>,
    words: usize,
}

impl Half {
    fn add(&mut self, word: Word) {
        self.words += 1;
        match word {
            Word::Anywhere => {}
            Word::Own => self.own = true,
            Word::Prefixes(elements) => self.elements.extend(elements),
            Word::Set(index) => self.named.extend(self.seen.insert(index).then_some(index)),
        }
    }

    fn prefixes(self, span: Span, sets: &mut Sets, reporter: &mut Reporter) -> Prefixes {
        if self.named.is_empty() && self.elements.is_empty() {
            return Prefixes::new(Vec::new());
        }
        sets.union(self.named, self.elements, span, reporter)
    }
}

/// What the list includes, less what it excludes. Absent or faulty lists become no condition: a faulty one has been reported.
pub(super) fn check(
    key: &str,
    list: Option<&Written<Vec<Written<String>>>>,
    asker: Asker<'_>,
    words: &mut Words<'_>,
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
    let (mut included, mut excluded) = (Half::default(), Half::default());
    for word in &list.value {
        let (text, half) = match word.value.strip_prefix('!') {
            Some(text) => (text.trim_start(), &mut excluded),
            None => (word.value.as_str(), &mut included),
        };
        match read(text, word.span, asker, words, reporter) {
            Some(Word::Anywhere) if text.len() < word.value.len() => {
                let message = format!("`!anywhere` leaves nothing in `{key}`");
                let help = "take it out, or name the addresses that are excluded";
                reporter.report(Code::NothingLeft, word.span, message, help);
                sound = false;
            }
            Some(Word::Anywhere) => anywhere = Some(word.span),
            Some(word) => half.add(word),
            None => sound = false,
        }
    }
    if let Some(span) = anywhere.filter(|_| included.words > 0) {
        let message = format!("`anywhere` covers everything else in `{key}`");
        let help = format!("write `{key} = \"anywhere\"`, or take `anywhere` out of the list");
        reporter.report(Code::AnywhereCoversAll, span, message, help);
    }
    if !sound {
        return Addresses::anywhere();
    }
    let everywhere = anywhere.is_some() || included.words == 0;
    let (include_self, exclude_self) = (included.own && !everywhere, excluded.own);
    let exclude = excluded.prefixes(list.span, words.sets, reporter).set;
    if everywhere {
        return Addresses {
            condition: AddressMatch {
                exclude,
                exclude_self,
                ..AddressMatch::anywhere()
            },
            families: Families::BOTH,
        };
    }
    let mut include = included.prefixes(list.span, words.sets, reporter);
    if let Asker::Rule { denies: true, .. } = asker {
        include = words.sets.spared(include, words.never_ban);
    }
    Addresses {
        families: if include_self {
            Families::BOTH
        } else {
            include.families
        },
        condition: AddressMatch {
            include: Some(include.set),
            include_self,
            exclude,
            exclude_self,
        },
    }
}

fn read(
    text: &str,
    span: Span,
    asker: Asker<'_>,
    words: &mut Words<'_>,
    reporter: &mut Reporter,
) -> Option<Word> {
    if text == "anywhere" {
        return Some(Word::Anywhere);
    }
    if text == "self" {
        return own(span, asker, reporter);
    }
    if let Some(name) = text.strip_prefix('@') {
        return words.sets.find(name, span, reporter).map(Word::Set);
    }
    if text == "local-vpc" {
        return local_vpc(span, asker, words.zones, reporter);
    }
    if let Some(name) = text.strip_prefix("vpc:") {
        return vpc(name, span, asker, words.zones, reporter);
    }
    match range::parse(text) {
        Ok(prefixes) => {
            let origin = origin(span, None, reporter);
            let element = |prefix| Element {
                prefix,
                expires: None,
                origin: origin.clone(),
            };
            Some(Word::Prefixes(prefixes.into_iter().map(element).collect()))
        }
        Err(error) => {
            report(text, error, span, reporter);
            None
        }
    }
}

/// `self`: a packet has an interface, a connection of a listener has not.
fn own(span: Span, asker: Asker<'_>, reporter: &mut Reporter) -> Option<Word> {
    if let Asker::Listener = asker {
        let help = "write the addresses: a listener is reached on what `bind` names";
        let message = "`self` in a listener: it stands for the addresses of a packet's interface";
        reporter.report(Code::SelfWithoutInterface, span, message, help);
        return None;
    }
    Some(Word::Own)
}

/// The VPC that words of the asker are seen from: that of the rule's scope, else that of the host.
fn home<'z>(asker: Asker<'_>, zones: &'z Zones) -> Option<&'z Vpc> {
    let name = match asker {
        Asker::Rule {
            scope: Scope::Vpc(vpc),
            ..
        } => Some(vpc),
        _ => zones.host.vpc.as_ref(),
    };
    zones.vpcs.iter().find(|vpc| Some(&vpc.name) == name)
}

fn local_vpc(span: Span, asker: Asker<'_>, zones: &Zones, reporter: &mut Reporter) -> Option<Word> {
    let Some(home) = home(asker, zones) else {
        let help = "write `vpc = \"…\"` in `[host]`, or name the VPC: `vpc:NAME`";
        let message = "`local-vpc` on a host that is in no VPC";
        reporter.report(Code::NoLocalVpc, span, message, help);
        return None;
    };
    Some(Word::Prefixes(home.cidrs.elements().to_vec()))
}

fn vpc(name: &str, span: Span, asker: Asker<'_>, zones: &Zones, reporter: &mut Reporter) -> Option<Word> {
    let vpc = zones.named(name, span, reporter)?;
    let near = home(asker, zones);
    if !near.is_some_and(|home| home.name == vpc.name || home.peers.contains(&vpc.name)) {
        let message = match near {
            Some(home) => format!("the VPC `{name}` is no peer of `{}`", home.name),
            None => format!("the VPC `{name}` on a host that is in no VPC"),
        };
        let help = match near {
            Some(home) => format!(
                "add `peers = [\"{name}\"]` to `[[vpc]]` `{}`, or name another VPC",
                home.name
            ),
            None => format!("write `vpc = \"{name}\"` in `[host]`, or that of a peer of it"),
        };
        reporter.report(Code::ForeignVpc, span, message, help);
        return None;
    }
    Some(Word::Prefixes(vpc.cidrs.elements().to_vec()))
}

const NOT_AN_ADDRESS: EntryError = EntryError::Prefix(PrefixError::NotAnAddress);

fn report(text: &str, error: EntryError, span: Span, reporter: &mut Reporter) {
    if error != NOT_AN_ADDRESS {
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
        _ => "write `anywhere`, `@set`, `self`, `local-vpc`, `vpc:NAME`, a prefix like `192.0.2.0/24` or `2001:db8::/32`, or an address"
            .to_owned(),
    };
    reporter.report(error.code(), span, message, help);
}

/// Whether a word could be the name of a set whose `@` was forgotten.
fn sets_have_such_names(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && crate::policy::RuleName::parse(text).is_some()
}
