//! `[[set]]`: names to prefixes, inline and from files.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::names::Names;
use super::never_ban;
use super::set_file::{Content, Widest};
use super::{lists, numbers, range, set_file, units};
use crate::change::{self, FileSet, SetFile, SetFiles};
use crate::diagnostic::{Code, Reporter, closest, list, quote};
use crate::document::set::{Entry, MinPrefix, Set};
use crate::policy::{Element, List, ListedSet, Origin, PrefixSet};
use crate::source::{Span, Written};

/// Every set, by name.
#[derive(Debug, Default)]
pub(super) struct Sets {
    sets: Vec<Named>,
    by_name: HashMap<String, usize>,
    lists: Vec<ListedSet>,
    /// Lists of sets that were joined before: rules that write the same list share one union.
    unions: HashMap<Vec<usize>, Prefixes>,
    /// What is left of sets for rules that deny, by their memory; the set is kept so that the memory stays its own.
    spared: HashMap<usize, (Prefixes, Prefixes)>,
    /// Entries of feeds that would have covered an address of `[never_ban]`.
    cut: Vec<Element>,
    /// Elements that were copied into unions, and how many unions those are.
    joined: usize,
    copies: usize,
}

#[derive(Debug)]
struct Named {
    name: String,
    span: Span,
    prefixes: Prefixes,
    files: FileSet,
    used: bool,
}

/// Prefixes, and which families are among them.
#[derive(Clone, Debug)]
pub(super) struct Prefixes {
    pub(super) set: PrefixSet,
    pub(super) families: Families,
}

/// Which address families occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Families {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

impl Families {
    pub(super) const BOTH: Self = Self { v4: true, v6: true };

    /// Whether an address can be in both.
    pub(super) const fn meet(self, other: Self) -> bool {
        self.v4 && other.v4 || self.v6 && other.v6
    }
}

impl Prefixes {
    pub(super) fn new(elements: Vec<Element>) -> Self {
        let families = Families {
            v4: elements.iter().any(|element| element.prefix.addr().is_ipv4()),
            v6: elements.iter().any(|element| element.prefix.addr().is_ipv6()),
        };
        Self {
            set: PrefixSet::new(elements),
            families,
        }
    }
}

impl Sets {
    pub(super) fn check(written: Vec<Set>, reporter: &mut Reporter) -> Self {
        let mut sets = Self::default();
        let mut names = Names::new("set");
        for set in written {
            let name = names.check(set.name.as_ref(), reporter);
            let shown = name.clone().unwrap_or_default();
            let (prefixes, files) = sets.elements(&set, &shown, reporter);
            if let Some(name) = name {
                sets.by_name.insert(name.clone(), sets.sets.len());
                sets.sets.push(Named {
                    name,
                    span: set.span,
                    prefixes,
                    files,
                    used: false,
                });
            }
        }
        sets
    }

    /// The set of that name, which is used from now on; reports a name that is not defined.
    pub(super) fn find(&mut self, name: &str, span: Span, reporter: &mut Reporter) -> Option<usize> {
        if let Some(index) = self.by_name.get(name).copied() {
            if let Some(set) = self.sets.get_mut(index) {
                set.used = true;
            }
            return Some(index);
        }
        let message = format!("set {} is not defined", quote(&format!("@{name}")));
        let names = || self.sets.iter().map(|set| set.name.as_str());
        let help = match closest(name, names().take(MAX_COMPARED)) {
            Some(near) => format!("did you mean `@{near}`?"),
            None if self.sets.is_empty() => format!(
                "define it: a `[[set]]` with `name = \"{}\"` and `entries`",
                printable(name)
            ),
            None => {
                let names: Vec<String> = names().take(MAX_LISTED).map(|name| format!("@{name}")).collect();
                format!("define it, or use {}", list(names.iter().map(String::as_str)))
            }
        };
        reporter.report(Code::UnknownSet, span, message, help);
        None
    }

    /// The union of sets and single elements, which the list at `span` names.
    pub(super) fn union(
        &mut self,
        sets: Vec<usize>,
        elements: Vec<Element>,
        span: Span,
        reporter: &mut Reporter,
    ) -> Prefixes {
        let shared = elements.is_empty();
        if shared && let Some(prefixes) = self.unions.get(&sets) {
            return prefixes.clone();
        }
        let named = || sets.iter().filter_map(|index| self.sets.get(*index));
        let mut named_sets = named();
        let prefixes = match (named_sets.next(), named_sets.next()) {
            (Some(only), None) if shared => only.prefixes.clone(),
            _ => {
                let from_sets = named().flat_map(|set| set.prefixes.set.elements());
                let joined: Vec<Element> = from_sets
                    .cloned()
                    .chain(elements)
                    .take(MAX_JOINED - self.joined)
                    .collect();
                self.joined += joined.len();
                self.copies += 1;
                if self.joined >= MAX_JOINED {
                    let message =
                        format!("lists of several sets have more than {MAX_JOINED} elements together");
                    let help = "define one `[[set]]` that holds what the list holds, and use it alone: rules share it";
                    reporter.report(Code::TooLarge, span, message, help);
                }
                Prefixes::new(joined)
            }
        };
        if shared {
            self.unions.insert(sets, prefixes.clone());
        }
        prefixes
    }

    /// The prefixes less those of feeds that cover addresses of `never`; rules that use the same set share what is left.
    pub(super) fn spared(&mut self, prefixes: Prefixes, never: &PrefixSet) -> Prefixes {
        if never.elements().is_empty()
            || !prefixes
                .set
                .elements()
                .iter()
                .any(|element| element.origin.list.feed)
        {
            return prefixes;
        }
        let memory = prefixes.set.elements().as_ptr().addr();
        if let Some((_, spared)) = self.spared.get(&memory) {
            return spared.clone();
        }
        let spared = match never_ban::spare(prefixes.set.elements(), never) {
            // A second copy of what may be a million elements would say the same.
            None => prefixes.clone(),
            Some((left, cut)) => {
                self.cut.extend(cut);
                Prefixes {
                    set: PrefixSet::new(left),
                    // That a feed lists nobody else of a family is not a mistake of the rule.
                    families: prefixes.families,
                }
            }
        };
        self.spared.insert(memory, (prefixes, spared.clone()));
        spared
    }

    /// Reports what feeds list and nobody may drop.
    pub(super) fn report_cut(&self, reporter: &mut Reporter) {
        never_ban::report(&self.cut, reporter);
    }

    pub(super) fn report_unused(&self, reporter: &mut Reporter) {
        for set in self.sets.iter().filter(|set| !set.used) {
            let message = format!("set `{}` is not used", set.name);
            let help = format!(
                "use it as `@{}` in a rule or a listener, or take it out",
                set.name
            );
            reporter.report(Code::UnusedSet, set.span, message, help);
        }
    }

    /// What each set holds, in the order written, and the files that it was read from.
    pub(super) fn into_lists(self, never: &PrefixSet) -> (Vec<ListedSet>, SetFiles) {
        let mut files = SetFiles::new(self.joined, self.copies);
        for set in self.sets {
            files.add(set.files, set.used);
        }
        files.leave_out(never.elements());
        files.leave_out(&self.cut);
        (self.lists, files)
    }

    fn elements(&mut self, set: &Set, name: &str, reporter: &mut Reporter) -> (Prefixes, FileSet) {
        let mut sound = true;
        let mut elements = Vec::new();
        let widest = widest(set.min_prefix.as_ref(), reporter);
        let max_age = set
            .max_age
            .as_ref()
            .map(|text| units::duration("max_age", Some(text), Duration::MAX, reporter));
        for entry in &set.entries {
            match read(entry, name, widest, reporter) {
                Some(read) => elements.extend(read),
                None => sound = false,
            }
        }
        let inline = elements.len();
        let (mut files, mut kept) = (Vec::new(), Vec::new());
        for file in &set.files {
            let path = reporter.sources.resolve(file.span.file, &file.value);
            let before = elements.len();
            let content = set_file::read(&path, file.span, name, widest, &mut elements, reporter);
            sound &= content.is_some();
            kept.push(SetFile {
                path: path.clone(),
                text: match content {
                    Some(Content::Text(bytes)) => Some(Arc::new(bytes)),
                    Some(Content::Json) | None => None,
                },
                entries: elements.len() - before,
                max_age,
                old: report_age(&path, file.span, max_age, reporter),
            });
            files.push(path);
        }
        let max_change = lists::percent(set.max_change.as_ref(), reporter);
        let kept_back = match max_change.filter(|_| sound && !files.is_empty()) {
            Some(percent) => lists::keep_back(set, name, percent, &mut elements, inline, widest, reporter),
            None => false,
        };
        self.lists.push(lists::listed(name, &elements, files, kept_back));
        let mut prefixes = Prefixes::new(elements);
        if !sound {
            // What is missing is reported; that rules with the rest never match is not worth a message.
            prefixes.families = Families::BOTH;
        } else if prefixes.set.elements().is_empty() {
            let message = format!("set {} has no element", quote(name));
            let help = "add `entries = [\"192.0.2.0/24\"]` or `files = [\"list.txt\"]`; an empty set is never taken by accident";
            reporter.report(Code::EmptySet, set.span, message, help);
            prefixes.families = Families::BOTH;
        }
        let files = FileSet {
            name: name.to_owned(),
            prefixes: prefixes.set.clone(),
            families: change::Families::of(prefixes.set.elements()),
            widest,
            max_change,
            kept_back,
            files: kept,
        };
        (prefixes, files)
    }
}

fn widest(written: Option<&MinPrefix>, reporter: &mut Reporter) -> Widest {
    let mut length = |key: &str, written: Option<Written<i64>>, longest: u8| {
        let length = numbers::optional(key, written, 0..=u32::from(longest), reporter);
        length.and_then(|length| u8::try_from(length).ok()).unwrap_or(0)
    };
    written.map_or_else(Widest::default, |written| Widest {
        v4: length("v4", written.v4, 32),
        v6: length("v6", written.v6, 128),
    })
}

/// Reports a file that was last written too long ago, and says whether it was. One that cannot be asked was reported as unreadable.
fn report_age(path: &Path, span: Span, max_age: Option<Duration>, reporter: &mut Reporter) -> bool {
    let age = lists::age_beyond(path, max_age);
    if let Some(age) = age {
        let message = format!(
            "set file {} is {} old, more than `max_age` allows",
            quote(&path.display().to_string()),
            ago(age)
        );
        let help = "look why it is not delivered any more; the set stays as it is";
        reporter.report(Code::SetFileOld, span, message, help);
    }
    age.is_some()
}

fn ago(age: Duration) -> String {
    let hours = age.as_secs() / 3600;
    match hours {
        0 => format!("{} minutes", age.as_secs() / 60),
        1..=47 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    }
}

fn read(entry: &Entry, set: &str, widest: Widest, reporter: &mut Reporter) -> Option<Vec<Element>> {
    let text = &entry.cidr.value;
    match range::parse(text) {
        Ok(prefixes) => {
            if let Some(least) = prefixes.iter().find_map(|prefix| widest.refuses(prefix)) {
                let message = format!("{} is wider than `min_prefix`, /{least}", quote(text));
                let help = "take the entry out, or lower `min_prefix` if it is meant";
                reporter.report(Code::TooWide, entry.cidr.span, message, help);
                return None;
            }
            let origin = origin(entry.cidr.span, Some(set), reporter);
            let element = |prefix| Element {
                prefix,
                expires: entry.expires.map(|moment| moment.value),
                origin: origin.clone(),
            };
            Some(prefixes.into_iter().map(element).collect())
        }
        Err(error) => {
            reporter.report(
                error.code(),
                entry.cidr.span,
                error.message(text),
                error.help(text),
            );
            None
        }
    }
}

/// Where an element of a policy file was written.
pub(super) fn origin(span: Span, set: Option<&str>, reporter: &Reporter) -> Origin {
    let place = reporter.sources.place(span);
    Origin {
        list: Arc::new(List {
            file: place.file.to_path_buf(),
            set: set.map(ToOwned::to_owned),
            feed: false,
        }),
        line: place.line,
    }
}

/// The name, when it can be written into a TOML text as it is.
fn printable(name: &str) -> &str {
    if crate::policy::RuleName::parse(name).is_some() {
        name
    } else {
        "name"
    }
}

/// A hundred rules that write `["@blocklist", "192.0.2.1"]` would otherwise hold a hundred copies of the blocklist.
pub(crate) const MAX_JOINED: usize = 8 << 20;

/// Suggesting a name costs time for each name there is, for each of a thousand messages.
pub(super) const MAX_COMPARED: usize = 1_000;

/// A help line stays a line.
const MAX_LISTED: usize = 10;
