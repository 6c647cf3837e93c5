//! `[never_ban]`: addresses that no feed can cover, and how they are cut out of feeds.

use ipnet::IpNet;

use super::range;
use super::sets::{Sets, origin};
use crate::diagnostic::{Code, Reporter};
use crate::document::set::NeverBan;
use crate::policy::{Element, PrefixSet};

/// The addresses. A set's entries with an end are refused: what is cut out of a feed is cut out for good.
pub(super) fn check(written: Option<NeverBan>, sets: &mut Sets, reporter: &mut Reporter) -> PrefixSet {
    let Some(entries) = written.and_then(|written| written.entries) else {
        return PrefixSet::default();
    };
    let mut elements = Vec::new();
    for entry in &entries.value {
        if let Some(name) = entry.value.strip_prefix('@') {
            let Some(index) = sets.find(name, entry.span, reporter) else {
                continue;
            };
            let set = sets.union(vec![index], Vec::new(), entry.span, reporter).set;
            if set.elements().iter().any(|element| element.expires.is_some()) {
                let message = format!("set `@{name}` has entries with an end, and `[never_ban]` has none");
                let help = "name a set without `expires`, or the addresses themselves";
                reporter.report(Code::NeverBanExpires, entry.span, message, help);
            }
            elements.extend(set.elements().iter().cloned());
            continue;
        }
        match range::parse(&entry.value) {
            Ok(prefixes) => {
                let origin = origin(entry.span, None, reporter);
                elements.extend(prefixes.into_iter().map(|prefix| Element {
                    prefix,
                    expires: None,
                    origin: origin.clone(),
                }));
            }
            Err(error) => {
                let text = &entry.value;
                reporter.report(error.code(), entry.span, error.message(text), error.help(text));
            }
        }
    }
    PrefixSet::new(elements)
}

/// What is left of the elements when those of feeds lose the addresses of `never`, and the elements that lost any. `None`: none
/// loses any.
pub(super) fn spare(elements: &[Element], never: &PrefixSet) -> Option<(Vec<Element>, Vec<Element>)> {
    let mut never: Vec<IpNet> = never.elements().iter().map(|element| element.prefix).collect();
    never = IpNet::aggregate(&never);
    never.sort_unstable_by_key(|prefix| (prefix.network(), prefix.prefix_len()));
    let holes = |element: &Element| {
        if element.origin.list.feed {
            overlapping(&never, &element.prefix)
        } else {
            &[]
        }
    };
    let first = elements.iter().position(|element| !holes(element).is_empty())?;
    let (mut left, mut cut) = (Vec::with_capacity(elements.len()), Vec::new());
    left.extend(elements.iter().take(first).cloned());
    for element in elements.iter().skip(first) {
        let holes = holes(element);
        if holes.is_empty() {
            left.push(element.clone());
            continue;
        }
        cut.push(element.clone());
        let pieces = without(element.prefix, holes);
        left.extend(pieces.into_iter().map(|prefix| Element {
            prefix,
            ..element.clone()
        }));
    }
    Some((left, cut))
}

/// The prefixes of a sorted list without overlaps that share addresses with `prefix`: one that holds it, or those it holds.
fn overlapping<'n>(never: &'n [IpNet], prefix: &IpNet) -> &'n [IpNet] {
    let from = never.partition_point(|known| known.broadcast() < prefix.network());
    let count = never
        .get(from..)
        .unwrap_or_default()
        .partition_point(|known| known.network() <= prefix.broadcast());
    never.get(from..from + count).unwrap_or_default()
}

/// The prefix less the holes, as prefixes: halves that are whole are kept, halves with a hole are halved again.
fn without(prefix: IpNet, holes: &[IpNet]) -> Vec<IpNet> {
    if holes.iter().any(|hole| hole.contains(&prefix)) {
        return Vec::new();
    }
    let holes: Vec<IpNet> = holes
        .iter()
        .filter(|hole| prefix.contains(*hole))
        .copied()
        .collect();
    if holes.is_empty() {
        return vec![prefix];
    }
    let halves = prefix.subnets(prefix.prefix_len().saturating_add(1));
    halves
        .into_iter()
        .flatten()
        .flat_map(|half| without(half, &holes))
        .collect()
}

/// Reports the entries that were cut.
pub(super) fn report(cut: &[Element], reporter: &mut Reporter) {
    for element in cut.iter().take(MAX_TOLD) {
        let file = std::sync::Arc::new(element.origin.list.file.clone());
        let text = element.prefix.to_string();
        let spot = crate::diagnostic::Spot::new(element.origin.line.max(1), 1, &text, 0..text.len());
        let message = format!("`{text}` covers addresses of `[never_ban]`: they are left out");
        let help = "nothing to do; tell whoever makes the list";
        reporter.report_line(Code::FeedCut, &file, spot, message, help);
    }
    if let Some(element) = cut.get(MAX_TOLD) {
        let file = std::sync::Arc::new(element.origin.list.file.clone());
        let message = format!(
            "and {} more entries that cover addresses of `[never_ban]`",
            cut.len() - MAX_TOLD
        );
        reporter.report_file(
            Code::FeedCut,
            &file,
            message,
            "nothing to do; tell whoever makes the list",
        );
    }
}

/// A feed that lists a whole provider has many.
const MAX_TOLD: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_leave_every_other_address() {
        let prefix: IpNet = "192.0.2.0/28".parse().unwrap();
        let holes: Vec<IpNet> = ["192.0.2.3/32", "192.0.2.8/31"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let left = without(prefix, &holes);
        for host in prefix.hosts().chain([prefix.network(), prefix.broadcast()]) {
            let inside = left.iter().filter(|piece| piece.contains(&host)).count();
            let hole = holes.iter().any(|hole| hole.contains(&host));
            assert_eq!(inside, usize::from(!hole), "{host}");
        }
        assert!(without("192.0.2.3/32".parse().unwrap(), &holes).is_empty());
        assert_eq!(overlapping(&holes, &"192.0.2.4/30".parse().unwrap()), &[]);
        assert_eq!(overlapping(&holes, &prefix), &holes[..]);
    }
}
