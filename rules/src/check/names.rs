//! Names: their form, and that each is used once.

use std::collections::HashMap;

use crate::diagnostic::{Code, Reporter, quote};
use crate::policy::RuleName;
use crate::source::{Span, Written};

/// The names of one kind of thing.
#[derive(Debug)]
pub(super) struct Names {
    kind: &'static str,
    seen: HashMap<String, Span>,
}

impl Names {
    pub(super) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            seen: HashMap::new(),
        }
    }

    /// The name, when it has the form of names and is new.
    pub(super) fn check(
        &mut self,
        name: Option<&Written<String>>,
        reporter: &mut Reporter,
    ) -> Option<String> {
        let name = name?;
        if RuleName::parse(&name.value).is_none() {
            let message = format!("{} is not a name", quote(&name.value));
            reporter.report(Code::BadName, name.span, message, self.help(&name.value));
            return None;
        }
        self.unique(name, reporter)
    }

    /// As [`Self::check`] for names that are for people: any text but an empty one.
    pub(super) fn check_title(
        &mut self,
        name: Option<&Written<String>>,
        reporter: &mut Reporter,
    ) -> Option<String> {
        let name = name?;
        if name.value.trim().is_empty() || name.value.chars().any(char::is_control) {
            let message = format!("{} is not a name", quote(&name.value));
            let help = format!("name the {} with a line of printable text", self.kind);
            reporter.report(Code::BadName, name.span, message, help);
            return None;
        }
        self.unique(name, reporter)
    }

    fn unique(&mut self, name: &Written<String>, reporter: &mut Reporter) -> Option<String> {
        if let Some(known) = self.seen.get(&name.value) {
            // Lists of one kind are checked one after the other, wherever they stand in the file.
            let (first, again) = (name.span.min(*known), name.span.max(*known));
            let message = format!("{} name {} is used twice", self.kind, quote(&name.value));
            let related = [(first, "first used here")];
            let help = format!("give each {} a name of its own", self.kind);
            reporter.report_with(Code::DuplicateName, again, message, &related, help);
            return None;
        }
        self.seen.insert(name.value.clone(), name.span);
        Some(name.value.clone())
    }

    /// The rule of the form, and the written name made to fit it where that is possible.
    fn help(&self, written: &str) -> String {
        let form = "a name is 1 to 63 characters of `a-z A-Z 0-9 . _ -`, the first a letter or a digit";
        let fitting: String = written
            .trim()
            .chars()
            .map(|character| {
                if character.is_ascii_alphanumeric() || "._-".contains(character) {
                    character
                } else {
                    '-'
                }
            })
            .collect();
        let fitting = fitting.trim_matches(['.', '_', '-']);
        match RuleName::parse(fitting) {
            Some(name) => format!("write for example `{name}`: {form}"),
            None => format!("name the {} with a word: {form}", self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_offers_the_written_name_in_a_form_that_fits() {
        let names = Names::new("rule");
        assert!(
            names
                .help("allow all!")
                .starts_with("write for example `allow-all`")
        );
        assert!(names.help("").starts_with("name the rule"));
        assert!(names.help(&"x".repeat(64)).starts_with("name the rule"));
    }
}
