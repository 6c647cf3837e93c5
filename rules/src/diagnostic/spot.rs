//! A place in a line, with as much of the line as a message shows.

use std::ops::Range;

/// Where in a file, with the text to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// Characters to underline, at least 1, all in the excerpt or just behind it.
    pub length: u32,
    /// The line's text; of a long line, the part around the place.
    pub excerpt: String,
    /// Characters of the excerpt in front of the place.
    pub indent: u32,
}

impl Spot {
    /// The bytes `mark` of the line `text`.
    pub(crate) fn new(line: u32, column: u32, text: &str, mark: Range<usize>) -> Self {
        let start = text.floor_char_boundary(mark.start);
        let end = text.floor_char_boundary(mark.end.max(start));
        let (before, after) = text.split_at(start);
        let context = if text.len() <= MAX_WIDTH {
            MAX_WIDTH
        } else {
            MAX_WIDTH / 2
        };
        let shown_before = before.chars().rev().take(context).count();
        let skipped = before.char_indices().rev().nth(shown_before.saturating_sub(1));
        let from = skipped.filter(|_| shown_before > 0).map_or(start, |(at, _)| at);
        let mut excerpt = text.get(from..start).unwrap_or_default().to_owned();
        excerpt.extend(after.chars().take(MAX_WIDTH - shown_before));
        let marked = text
            .get(start..end)
            .unwrap_or_default()
            .chars()
            .take(MAX_WIDTH)
            .count();
        Self {
            line,
            column,
            length: narrow(marked.clamp(1, (MAX_WIDTH - shown_before).max(1))),
            excerpt,
            indent: narrow(shown_before),
        }
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A line can be megabytes, and a thousand messages can be about it.
const MAX_WIDTH: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_line_is_shown_whole() {
        let spot = Spot::new(1, 5, "x = 'ö' # y", 4..8);
        assert_eq!(
            (spot.excerpt.as_str(), spot.indent, spot.length),
            ("x = 'ö' # y", 4, 3)
        );
    }

    #[test]
    fn of_a_long_line_the_part_around_the_mark_is_shown() {
        let line = format!("{}MARK{}", "a".repeat(500), "b".repeat(500));
        let spot = Spot::new(1, 501, &line, 500..504);
        let shown = format!("{}MARK{}", "a".repeat(80), "b".repeat(76));
        assert_eq!((spot.excerpt, spot.indent, spot.length), (shown, 80, 4));
    }

    #[test]
    fn the_mark_always_stays_in_the_width() {
        for width in [0, 1, 50, 159, 160, 161, 5_000] {
            for letter in ["x", "ö"] {
                let line = letter.repeat(width);
                for start in [0, 1, 79, 80, 81, 160, 161, 4_999, 10_000, usize::MAX - 10] {
                    for length in [0, 1, 80, 100, 10_000] {
                        let spot = Spot::new(1, 1, &line, start..start.saturating_add(length));
                        let indent = spot.indent as usize;
                        assert!(spot.excerpt.chars().count() <= MAX_WIDTH);
                        assert!(indent <= spot.excerpt.chars().count());
                        assert!(spot.length >= 1 && indent + spot.length as usize <= MAX_WIDTH + 1);
                    }
                }
            }
        }
    }
}
