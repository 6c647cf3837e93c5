//! What a set's files deliver: how much it is, and whether it is too different from what was taken last.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ipnet::IpNet;

use super::set_file::{self, Widest};
use crate::diagnostic::{Code, Reporter, quote};
use crate::document::set::Set;
use crate::policy::{Element, ListedSet};
use crate::source::Written;

/// `30%`, in hundredths.
pub(super) fn percent(written: Option<&Written<String>>, reporter: &mut Reporter) -> Option<u64> {
    let written = written?;
    let number = written
        .value
        .strip_suffix('%')
        .and_then(|number| number.parse().ok());
    if let Some(percent @ 1..=1_000) = number {
        return Some(percent);
    }
    let message = format!("{} is not a part of a set", quote(&written.value));
    let help = "write a whole number of percent, `1%` to `1000%`, like `max_change = \"30%\"`";
    reporter.report(Code::OutOfRange, written.span, message, help);
    None
}

/// Puts the last good copies of the files in the place of what stands behind the first `inline` elements, when the files changed
/// too much since. Says whether it did.
///
/// Without a copy of every file there is nothing to compare with: a file that is new to the set is taken as it is.
pub(super) fn keep_back(
    set: &Set,
    name: &str,
    percent: u64,
    elements: &mut Vec<Element>,
    inline: usize,
    widest: Widest,
    reporter: &mut Reporter,
) -> bool {
    let mut last = elements.get(..inline).unwrap_or_default().to_vec();
    for file in &set.files {
        let path = reporter.sources.resolve(file.span.file, &file.value);
        let Some(copy) = reporter.sources.last_good(&path) else {
            return false;
        };
        // What is wrong with an old copy is nobody's business any more.
        let mut unheard = Reporter::default();
        if set_file::read(&copy, file.span, name, widest, &mut last, &mut unheard).is_none() {
            return false;
        }
    }
    let (was, is) = (distinct(&last), distinct(elements));
    if within(was, is, percent) {
        return false;
    }
    let message = format!(
        "the files of set {} have {is} entries and had {was}: more of a change than `max_change` allows",
        quote(name)
    );
    let help = format!(
        "look at the files; the set keeps the last good copies of them. If the change is meant, raise `max_change` above {}% or leave it out \
         for one reload",
        was.abs_diff(is).saturating_mul(100) / was.max(1)
    );
    reporter.report(Code::SetKeptBack, set.span, message, help);
    *elements = last;
    true
}

pub(super) fn listed(name: &str, elements: &[Element], files: Vec<PathBuf>, kept_back: bool) -> ListedSet {
    let distinct = usize::try_from(distinct(elements)).unwrap_or(usize::MAX);
    ListedSet {
        name: name.to_owned(),
        oldest: oldest(&files),
        files,
        entries: elements.len(),
        covered: elements.len().saturating_sub(distinct),
        kept_back,
    }
}

/// When the file that is oldest was last written.
pub(crate) fn oldest(files: &[PathBuf]) -> Option<SystemTime> {
    let written = |file: &PathBuf| std::fs::metadata(file).and_then(|file| file.modified()).ok();
    files.iter().filter_map(written).min()
}

/// How old the file is, when that is more than it may be.
pub(crate) fn age_beyond(path: &Path, max_age: Option<Duration>) -> Option<Duration> {
    let max_age = max_age?;
    let written = std::fs::metadata(path).and_then(|file| file.modified()).ok()?;
    let age = SystemTime::now().duration_since(written).ok()?;
    (age > max_age).then_some(age)
}

/// Whether a set that had `was` entries may have `is`.
pub(crate) const fn within(was: u64, is: u64, percent: u64) -> bool {
    was.abs_diff(is) <= was.saturating_mul(percent) / 100
}

fn distinct(elements: &[Element]) -> u64 {
    distinct_prefixes(elements.iter().map(|element| element.prefix).collect())
}

/// How many of the prefixes lie in no other, each counted once.
pub(crate) fn distinct_prefixes(mut prefixes: Vec<IpNet>) -> u64 {
    // A prefix comes before those inside it.
    prefixes.sort_unstable_by_key(|prefix| (prefix.addr(), prefix.prefix_len()));
    let mut count = 0;
    let mut widest: Option<IpNet> = None;
    for prefix in prefixes {
        if widest.is_none_or(|widest| !widest.contains(&prefix)) {
            widest = Some(prefix);
            count += 1;
        }
    }
    count
}
