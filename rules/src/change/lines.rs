//! In which lines two texts differ: two texts of a million lines are compared about as fast as memory is read.
//!
//! old bytes, new bytes → **lines** → `Edit`. Knows what a line of a set file is, and nothing of sets.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Change, Edit};
use crate::check::set_file::{is_json, prefixes};

/// What was changed in `file`. `None`: too much, or a line that is not good.
pub(super) fn edit(file: &Path, old: &[u8], new: Vec<u8>) -> Option<Edit> {
    if is_json(&new) {
        return None;
    }
    let differing = Differing::of(old, &new);
    let was = parsed(old.get(differing.old.clone())?)?;
    let is = parsed(new.get(differing.new.clone())?)?;
    // Lines that hold the same, at either end: of the last line of a text, only the line end may differ.
    let head = was.iter().zip(&is).take_while(|(was, is)| was == is).count();
    let (was, is) = (was.get(head..)?, is.get(head..)?);
    let tail = was.iter().rev().zip(is.iter().rev());
    let tail = tail.take_while(|(was, is)| was == is).count();
    let (was, is) = (was.get(..was.len() - tail)?, is.get(..is.len() - tail)?);
    let first = differing.line.checked_add(u32::try_from(head).ok()?)?;
    let behind = |lines: &[Vec<IpNet>]| first.checked_add(u32::try_from(lines.len()).ok()?);
    let added: Vec<(u32, IpNet)> = (first..)
        .zip(is)
        .flat_map(|(number, line)| line.iter().map(move |prefix| (number, *prefix)))
        .collect();
    let removed: Vec<IpNet> = was.iter().flatten().copied().collect();
    if added.len() > MAX_PREFIXES || removed.len() > MAX_PREFIXES {
        return None;
    }
    Some(Edit {
        change: Change {
            file: file.to_owned(),
            lines: first..behind(was)?,
            removed,
            added,
        },
        now: first..behind(is)?,
        text: Arc::new(new),
    })
}

/// The prefixes of each line. `None`: too many lines, or one that is no entry.
fn parsed(text: &[u8]) -> Option<Vec<Vec<IpNet>>> {
    if line_ends(text) > MAX_LINES {
        return None;
    }
    if text.is_empty() {
        return Some(Vec::new());
    }
    // The end of the last line begins no other.
    let lines = text.strip_suffix(b"\n").unwrap_or(text);
    lines.split(|byte| *byte == b'\n').map(prefixes).collect()
}

/// The whole lines between what two texts have in common at their beginning and at their end.
struct Differing {
    old: Range<usize>,
    new: Range<usize>,
    /// The 1-based number of the first of them, in both.
    line: u32,
}

impl Differing {
    fn of(old: &[u8], new: &[u8]) -> Self {
        let same = common(old, new);
        let (before, _) = old.split_at(same);
        let start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let (before, old_rest) = old.split_at(start);
        let (_, new_rest) = new.split_at(start);
        let same = common_end(old_rest, new_rest);
        let (old_part, end) = old_rest.split_at(old_rest.len() - same);
        let (new_part, _) = new_rest.split_at(new_rest.len() - same);
        let at_line_start = |part: &[u8]| part.last().is_none_or(|byte| *byte == b'\n');
        // What is common at the end begins within a line of one text or of both: that line differs.
        let rest = if at_line_start(old_part) && at_line_start(new_part) {
            0
        } else {
            end.iter()
                .position(|byte| *byte == b'\n')
                .map_or(end.len(), |at| at + 1)
        };
        // A text of 256 MiB has fewer lines than a `u32` counts.
        let line = u32::try_from(line_ends(before))
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        Self {
            old: start..start + old_part.len() + rest,
            new: start..start + new_part.len() + rest,
            line,
        }
    }
}

/// How many bytes are the same from the beginning.
fn common(one: &[u8], other: &[u8]) -> usize {
    let chunks = one.chunks(CHUNK).zip(other.chunks(CHUNK));
    let whole: usize = chunks
        .take_while(|(one, other)| one == other)
        .map(|(chunk, _)| chunk.len())
        .sum();
    let rest = one.iter().skip(whole).zip(other.iter().skip(whole));
    whole + rest.take_while(|(one, other)| one == other).count()
}

/// How many bytes are the same up to the end.
fn common_end(one: &[u8], other: &[u8]) -> usize {
    let chunks = one.rchunks(CHUNK).zip(other.rchunks(CHUNK));
    let whole: usize = chunks
        .take_while(|(one, other)| one == other)
        .map(|(chunk, _)| chunk.len())
        .sum();
    let rest = one.iter().rev().skip(whole).zip(other.iter().rev().skip(whole));
    whole + rest.take_while(|(one, other)| one == other).count()
}

fn line_ends(text: &[u8]) -> usize {
    // No chunk has more of them than a byte counts, and bytes are counted many at a time.
    let of_chunk = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(0_u8, |count, byte| count + u8::from(*byte == b'\n'))
    };
    text.chunks(255).map(|chunk| usize::from(of_chunk(chunk))).sum()
}

/// Compared at once.
const CHUNK: usize = 16 << 10;

/// More than an edit by hand, far less than what takes as long as reading everything.
const MAX_LINES: usize = 64;

/// One range can be 254 prefixes.
const MAX_PREFIXES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Old, new, the lines that went, what they held, what came, the lines that came.
    type Row<'r> = (
        &'r str,
        &'r str,
        Range<u32>,
        &'r [&'r str],
        &'r [&'r str],
        Range<u32>,
    );

    fn found(old: &str, new: &str) -> (Range<u32>, Vec<String>, Vec<String>, Range<u32>) {
        let Edit { change, now, .. } =
            edit(Path::new("x"), old.as_bytes(), new.as_bytes().to_vec()).expect("a small change");
        let removed = change.removed.iter().map(ToString::to_string).collect();
        let added = change.added.iter();
        let added = added.map(|(line, prefix)| format!("{line}:{prefix}")).collect();
        (change.lines, removed, added, now)
    }

    #[test]
    fn lines_come_and_go_at_both_ends_and_between() {
        let none: [&str; 0] = [];
        let rows: [Row<'_>; 14] = [
            (
                "1.0.0.1\n",
                "1.0.0.0\n1.0.0.1\n",
                1..1,
                &none,
                &["1:1.0.0.0/32"],
                1..2,
            ),
            (
                "1.0.0.1\n",
                "1.0.0.1\n1.0.0.2\n",
                2..2,
                &none,
                &["2:1.0.0.2/32"],
                2..3,
            ),
            (
                "1.0.0.1",
                "1.0.0.1\n1.0.0.2",
                2..2,
                &none,
                &["2:1.0.0.2/32"],
                2..3,
            ),
            (
                "1.0.0.1\r\n",
                "1.0.0.1\r\n1.0.0.2",
                2..2,
                &none,
                &["2:1.0.0.2/32"],
                2..3,
            ),
            ("1.0.0.1\n1.0.0.2", "1.0.0.1", 2..3, &["1.0.0.2/32"], &none, 2..2),
            (
                "1.0.0.1\n1.0.0.2\n",
                "1.0.0.2\n",
                1..2,
                &["1.0.0.1/32"],
                &none,
                1..1,
            ),
            (
                "1.0.0.1\n1.0.0.2\n1.0.0.3\n",
                "1.0.0.1\n1.0.0.3\n",
                2..3,
                &["1.0.0.2/32"],
                &none,
                2..2,
            ),
            // The second line's end is the third's too: which of the two equal lines went is not asked.
            (
                "1.0.0.1\n1.0.0.1\n",
                "1.0.0.1\n",
                2..3,
                &["1.0.0.1/32"],
                &none,
                2..2,
            ),
            (
                "1.0.0.11\n",
                "1.0.0.21\n",
                1..2,
                &["1.0.0.11/32"],
                &["1:1.0.0.21/32"],
                1..2,
            ),
            ("1.0.0.1\n", "# a\n\n1.0.0.1\n", 1..1, &none, &none, 1..3),
            (
                "1.0.0.1\n1.0.0.2\n",
                "1.0.0.1 # a\r\n1.0.0.2",
                3..3,
                &none,
                &none,
                3..3,
            ),
            ("1.0.0.1\n", "1.0.0.1", 2..2, &none, &none, 2..2),
            (
                "1.0.0.8\n",
                "1.0.0.8\n1.0.0.1-1.0.0.4\n",
                2..2,
                &none,
                &["2:1.0.0.1/32", "2:1.0.0.2/31", "2:1.0.0.4/32"],
                2..3,
            ),
            ("1.0.0.1\n", "", 1..2, &["1.0.0.1/32"], &none, 1..1),
        ];
        for (old, new, lines, removed, added, now) in rows {
            let [removed, added] =
                [removed, added].map(|list| list.iter().map(ToString::to_string).collect());
            assert_eq!(found(old, new), (lines, removed, added, now), "{old:?} → {new:?}");
        }
    }

    #[test]
    fn what_is_common_is_found_around_every_boundary() {
        for length in [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7] {
            let text = vec![b'a'; length];
            assert_eq!((common(&text, &text), common_end(&text, &text)), (length, length));
            assert_eq!(common(&text, &text[..length - 1]), length - 1);
            assert_eq!(common_end(&text, &text[1..]), length - 1);
            for at in [0, 1, CHUNK - 2, length / 2, length - 1] {
                let mut other = text.clone();
                other[at] = b'b';
                assert_eq!(
                    (common(&text, &other), common_end(&text, &other)),
                    (at, length - 1 - at)
                );
            }
            let mut lines = text;
            lines[length / 2] = b'\n';
            assert_eq!(line_ends(&lines), 1);
            assert_eq!(line_ends(&vec![b'\n'; length]), length);
        }
    }

    #[test]
    fn what_is_not_small_and_good_is_left_to_a_whole_reading() {
        let edit = |old: &str, new: &str| edit(Path::new("x"), old.as_bytes(), new.as_bytes().to_vec());
        let lines = |count: u32| -> String { (0..count).map(|n| format!("10.0.{n}.0\n")).collect() };
        assert!(edit("1.0.0.1\n", &lines(64)).is_some());
        assert!(edit("1.0.0.1\n", &lines(65)).is_none());
        assert!(edit(&lines(65), "1.0.0.1\n").is_none());
        for bad in [
            "nonsense\n",
            "1.0.0.1/24\n",
            "1.0.0.9-1.0.0.1\n",
            "\u{1}1.0.0.1\n",
        ] {
            assert!(
                edit("1.0.0.1\n", &("1.0.0.1\n".to_owned() + bad)).is_none(),
                "{bad}"
            );
        }
        assert!(edit("1.0.0.1\n", " {\"prefixes\": []}\n1.0.0.1\n").is_none());
        // 254 prefixes each.
        let wide = "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n".repeat(5);
        assert!(
            edit("1.0.0.1\n", &("1.0.0.1\n".to_owned() + &wide)).is_none(),
            "prefixes have a bound too"
        );
    }
}
