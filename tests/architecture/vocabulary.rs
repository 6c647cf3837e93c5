//! One word from the policy to the counter: reasons and parse classes have each a name, a sentence and a place in the docs.

use std::collections::HashSet;
use std::fs;

use ravelin_datapath::{ParseClass, Reason};

use crate::workspace;

#[test]
fn every_reason_has_a_label_of_its_own_and_a_sentence() {
    assert_words(
        Reason::ALL
            .iter()
            .map(|reason| (reason.label(), reason.sentence())),
    );
    for (index, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(
            *reason as usize,
            index,
            "`{}` is not at its number",
            reason.label()
        );
    }
}

#[test]
fn every_parse_class_has_a_label_of_its_own_and_is_the_reason_of_the_same_name() {
    assert_words(
        ParseClass::ALL
            .iter()
            .map(|class| (class.label(), class.sentence())),
    );
    for (index, class) in ParseClass::ALL.iter().enumerate() {
        assert_eq!(*class as usize, index, "`{}` is not at its number", class.label());
        assert_eq!(Reason::from(*class).label(), class.label());
        assert_eq!(Reason::from(*class) as usize, index);
    }
}

#[test]
fn every_parse_class_and_essential_is_in_the_semantics() {
    let semantics = fs::read_to_string(workspace().join("docs/semantics.md")).expect("docs/semantics.md");
    // The counter of what cannot happen is not part of the contract.
    let documented = Reason::ALL.iter().filter(|reason| **reason != Reason::TableFault);
    for label in documented.map(|reason| reason.label()) {
        assert!(
            semantics.contains(&format!("`{label}`")),
            "docs/semantics.md does not name `{label}`"
        );
    }
}

fn assert_words(words: impl Iterator<Item = (&'static str, &'static str)>) {
    let mut labels = HashSet::new();
    for (label, sentence) in words {
        assert!(labels.insert(label), "the label `{label}` is there twice");
        assert!(
            label.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_')),
            "`{label}` is no metrics label"
        );
        assert!(
            !sentence.is_empty() && !sentence.ends_with('.'),
            "`{label}`: {sentence}"
        );
    }
}
