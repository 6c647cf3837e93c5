//! What is wrong with a policy, where, and what to write instead.
//!
//! Every stage from text to policy puts its findings into one [`Report`]; nothing stops at the first. A diagnostic holds
//! all it needs to be shown (place, line of text), so a report outlives the files. Knows neither TOML nor policies.

mod code;
mod json;
mod quote;
mod render;
mod reporter;
mod spot;
mod suggest;

use std::path::PathBuf;
use std::sync::Arc;

pub use code::{Code, Severity};
pub(crate) use quote::quote;
pub(crate) use reporter::Reporter;
pub use spot::Spot;
pub(crate) use suggest::{closest, list};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of finding.
    pub code: Code,
    /// What was found: lower case, no full stop, the offender in backticks.
    pub message: String,
    /// Where.
    pub at: Location,
    /// Other places that belong to it, each with a word why.
    pub related: Vec<(Location, String)>,
    /// What to write instead. Never empty.
    pub help: String,
}

impl Diagnostic {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.code.severity()
    }
}

/// A place in a file, or a whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file, as the user named it.
    pub file: Arc<PathBuf>,
    /// `None`: the whole file, for example because it cannot be opened.
    pub spot: Option<Spot>,
}

/// Every finding about one policy, in the order of files and lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    left_out: usize,
}

impl Report {
    /// The findings, in the order of files and lines.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// How many more findings there were than a report holds.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// The policy is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many findings of that severity the report holds.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity() == severity)
            .count()
    }

    /// This report and one error more, about a whole file.
    pub(crate) fn with_error(mut self, code: Code, file: &Arc<PathBuf>, message: &str, help: &str) -> Self {
        self.diagnostics.push(Diagnostic {
            code,
            message: message.to_owned(),
            at: Location {
                file: Arc::clone(file),
                spot: None,
            },
            related: Vec::new(),
            help: help.to_owned(),
        });
        self
    }

    /// This report and more findings, in the order of files and lines.
    pub(crate) fn with(mut self, findings: Vec<Diagnostic>) -> Self {
        self.diagnostics.extend(findings);
        let place = |diagnostic: &Diagnostic| {
            let spot = diagnostic.at.spot.as_ref();
            spot.map_or((u32::MAX, u32::MAX), |spot| (spot.line, spot.column))
        };
        self.diagnostics
            .sort_by(|one, other| (&one.at.file, place(one)).cmp(&(&other.at.file, place(other))));
        self
    }

    /// The report as text for people, in the style of compilers. Empty for an empty report.
    #[must_use]
    pub fn render(&self) -> String {
        render::render(self)
    }

    /// The report as one JSON object for programs.
    ///
    /// ```json
    /// {"errors": 1, "warnings": 0, "left_out": 0, "diagnostics": [
    ///   {"code": "E0202", "severity": "error", "message": "…", "help": "…",
    ///    "file": "edge.toml", "line": 7, "column": 10, "length": 12,
    ///    "related": [{"message": "…", "file": "…", "line": 1, "column": 1, "length": 1}]}]}
    /// ```
    ///
    /// `line`, `column` and `length` are null when the finding is about a whole file.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::to_json(self)
    }
}
