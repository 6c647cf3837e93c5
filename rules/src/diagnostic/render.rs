//! A report as text for people.

use std::fmt::Write as _;

use super::quote::visible;
use super::{Location, Report, Severity};

/// Every diagnostic with its line of text, then how many there are.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    if report.is_empty() {
        return text;
    }
    for diagnostic in report.diagnostics() {
        let word = diagnostic.severity().word();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{word}[{}]: {}", diagnostic.code.text(), diagnostic.message);
        location(&mut text, "-->", &diagnostic.at, "");
        for (at, why) in &diagnostic.related {
            location(&mut text, ":::", at, why);
        }
        let _ = writeln!(text, "  = help: {}\n", diagnostic.help);
    }
    if report.left_out() > 0 {
        let _ = writeln!(text, "and {} more that are not shown\n", report.left_out());
    }
    let errors = counted(report.count(Severity::Error), "error");
    let warnings = counted(report.count(Severity::Warning), "warning");
    let _ = writeln!(text, "{errors}, {warnings}");
    text
}

fn location(text: &mut String, arrow: &str, at: &Location, why: &str) {
    let file: String = at.file.display().to_string().chars().map(visible).collect();
    let Some(spot) = &at.spot else {
        let _ = writeln!(text, "  {arrow} {file}");
        return;
    };
    let _ = writeln!(text, "  {arrow} {file}:{}:{}", spot.line, spot.column);
    let line: String = spot.excerpt.chars().map(visible).collect();
    let number = spot.line.to_string();
    let margin = " ".repeat(number.len());
    let spaces = " ".repeat(spot.indent as usize);
    let carets = if arrow == "-->" { "^" } else { "-" }.repeat(spot.length as usize);
    let _ = writeln!(text, "{margin} |\n{number} | {line}");
    let _ = writeln!(
        text,
        "{}",
        format!("{margin} | {spaces}{carets} {why}").trim_end()
    );
}

fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
