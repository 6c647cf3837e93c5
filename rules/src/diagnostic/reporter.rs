//! Collects findings while the text they are about is still at hand.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Code, Diagnostic, Location, Report, Severity, Spot};
use crate::source::{FileId, Sources, Span};

/// The files read and the findings about them.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    pub(crate) sources: Sources,
    findings: Vec<(Option<FileId>, Diagnostic)>,
    left_out: usize,
    errors: usize,
}

impl Reporter {
    /// Reports what stands at `span`.
    pub(crate) fn report(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report_with(code, span, message, &[], help);
    }

    /// As [`Self::report`], with other places that belong to it.
    pub(crate) fn report_with(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
        related: &[(Span, &str)],
        help: impl Into<String>,
    ) {
        if self.full(code) {
            return;
        }
        let diagnostic = Diagnostic {
            code,
            message: message.into(),
            at: self.locate(span),
            related: related
                .iter()
                .map(|(span, why)| (self.locate(*span), (*why).to_owned()))
                .collect(),
            help: help.into(),
        };
        self.findings.push((Some(span.file), diagnostic));
    }

    /// Reports a line of a file that is not a policy file.
    pub(crate) fn report_line(
        &mut self,
        code: Code,
        file: &Arc<PathBuf>,
        spot: Spot,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report_elsewhere(code, file, Some(spot), message.into(), help.into());
    }

    /// Reports a whole file.
    pub(crate) fn report_file(
        &mut self,
        code: Code,
        file: &Arc<PathBuf>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report_elsewhere(code, file, None, message.into(), help.into());
    }

    /// Counts a finding of that code and says whether the report has no room for it: a caller with very many findings
    /// asks before it writes a message.
    pub(crate) fn skip(&mut self, code: Code) -> bool {
        let full = self.findings.len() >= MAX_FINDINGS && self.errors > 0;
        full && self.full(code)
    }

    /// Whether the policy is refused already.
    pub(crate) const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Every finding, in the order of files and lines.
    pub(crate) fn into_report(mut self) -> Report {
        self.findings.sort_by(|(file, one), (other_file, other)| {
            let place = |diagnostic: &Diagnostic| {
                let spot = diagnostic.at.spot.as_ref();
                // What is said of a whole file stands behind what is said of its lines.
                spot.map_or((u32::MAX, u32::MAX), |spot| (spot.line, spot.column))
            };
            (file.is_none(), *file, &one.at.file, place(one)).cmp(&(
                other_file.is_none(),
                *other_file,
                &other.at.file,
                place(other),
            ))
        });
        Report {
            diagnostics: self
                .findings
                .into_iter()
                .map(|(_, diagnostic)| diagnostic)
                .collect(),
            left_out: self.left_out,
        }
    }

    fn report_elsewhere(
        &mut self,
        code: Code,
        file: &Arc<PathBuf>,
        spot: Option<Spot>,
        message: String,
        help: String,
    ) {
        if self.full(code) {
            return;
        }
        let diagnostic = Diagnostic {
            code,
            message,
            at: Location {
                file: Arc::clone(file),
                spot,
            },
            related: Vec::new(),
            help,
        };
        self.findings.push((None, diagnostic));
    }

    /// Counts a finding; true when it must be left out. The first error is always kept: a report that leaves errors out
    /// must still have one.
    fn full(&mut self, code: Code) -> bool {
        let first_error = code.severity() == Severity::Error && self.errors == 0;
        if code.severity() == Severity::Error {
            self.errors += 1;
        }
        let full = self.findings.len() >= MAX_FINDINGS && !first_error;
        if full {
            self.left_out += 1;
        }
        full
    }

    fn locate(&self, span: Span) -> Location {
        let (file, spot) = self.sources.spot(span);
        Location {
            file,
            spot: Some(spot),
        }
    }
}

/// A generated policy with the same mistake in each of a million rules must not become a gigabyte of messages.
const MAX_FINDINGS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_report_still_holds_an_error_and_counts_the_rest() {
        let mut reporter = Reporter::default();
        let file = reporter.sources.add("a.toml".into(), "x".to_owned());
        for _ in 0..MAX_FINDINGS + 5 {
            reporter.report(Code::UnusedSet, file.span(0..1), "m", "h");
        }
        for _ in 0..3 {
            reporter.report(Code::UnknownKey, file.span(0..1), "m", "h");
        }
        let report = reporter.into_report();
        assert!(report.has_errors());
        assert_eq!(
            (report.diagnostics().len(), report.left_out()),
            (MAX_FINDINGS + 1, 7)
        );
    }

    #[test]
    fn findings_stand_in_the_order_of_files_and_lines() {
        let mut reporter = Reporter::default();
        let first = reporter.sources.add("first.toml".into(), "a\nb\n".to_owned());
        let second = reporter.sources.add("second.toml".into(), "c\n".to_owned());
        reporter.report(Code::UnknownKey, second.span(0..1), "c", "h");
        reporter.report(Code::UnknownKey, first.span(2..3), "b", "h");
        reporter.report(Code::UnknownKey, first.span(0..1), "a", "h");
        let report = reporter.into_report();
        let messages: Vec<_> = report.diagnostics().iter().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, ["a", "b", "c"]);
    }
}
