//! A report as text for people.

use std::fmt::Write as _;

use super::quote::visible;
use super::{Location, Report, Severity, Spot};

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
    let (line, before, length) = window(spot);
    let number = spot.line.to_string();
    let margin = " ".repeat(number.len());
    let spaces = " ".repeat(before);
    let carets = if arrow == "-->" { "^" } else { "-" }.repeat(length);
    let _ = writeln!(text, "{margin} |\n{number} | {line}");
    let _ = writeln!(
        text,
        "{}",
        format!("{margin} | {spaces}{carets} {why}").trim_end()
    );
}

/// The part of the line to show, the characters before the mark, and the mark's length.
fn window(spot: &Spot) -> (String, usize, usize) {
    let column = usize::try_from(spot.column)
        .unwrap_or(usize::MAX)
        .saturating_sub(1);
    let length = usize::try_from(spot.length).unwrap_or(usize::MAX);
    let skip = column.saturating_sub(MAX_WIDTH / 2);
    let skip = if column + length.min(MAX_WIDTH / 2) <= MAX_WIDTH {
        0
    } else {
        skip
    };
    let line: String = spot
        .excerpt
        .chars()
        .skip(skip)
        .take(MAX_WIDTH)
        .map(visible)
        .collect();
    let before = column - skip;
    (line, before, length.clamp(1, MAX_WIDTH - before))
}

fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// A line of a megabyte is shown as the part around the mark.
const MAX_WIDTH: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(column: u32, length: u32, width: usize) -> Spot {
        Spot {
            line: 1,
            column,
            length,
            excerpt: "x".repeat(width),
        }
    }

    #[test]
    fn the_mark_always_stays_in_the_window() {
        for width in [0, 1, 50, 159, 160, 161, 5_000] {
            for column in [1, 2, 79, 80, 81, 160, 161, 4_999, u32::MAX] {
                for length in [1, 80, 100, 10_000] {
                    let (line, before, length) = window(&spot(column, length, width));
                    assert!(line.chars().count() <= MAX_WIDTH);
                    assert!(before + length <= MAX_WIDTH && length > 0);
                }
            }
        }
    }
}
