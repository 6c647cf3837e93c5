//! In which lines two texts differ: two texts of a million lines are compared about as fast as memory is read.
//!
//! kept text, file → **lines** → `Edit`. Knows what a line of a set file is, and nothing of sets.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ipnet::IpNet;

use super::{Change, Edit};
use crate::check::set_file::{MAX_SET_FILE, is_json, prefixes};
use crate::source::open_regular;

/// What the file holds now, compared with what it held.
pub(super) enum Found {
    /// The same bytes.
    Same,
    /// A few other lines, and all of them are good.
    Edit(Edit),
}

/// Compares the file with its `old` text. `None`: too much has changed, or a line is not good.
pub(super) fn compare(path: &Path, old: &[u8]) -> Option<Found> {
    let (file, length) = open_regular(path, MAX_SET_FILE).ok()?;
    let Some(differing) = Differing::of(old, &file, length).ok()? else {
        return Some(Found::Same);
    };
    edit(path, old, differing).map(Found::Edit)
}

fn edit(path: &Path, old: &[u8], differing: Differing) -> Option<Edit> {
    let Differing { old: gone, new, line } = differing;
    let (before, behind) = (old.get(..gone.start)?, old.get(gone.end..)?);
    if is_json(before.iter().chain(&new).chain(behind)) {
        return None;
    }
    let was = parsed(old.get(gone.clone())?)?;
    let is = parsed(&new)?;
    // Lines that hold the same, at either end: of the last line of a text, only the line end may differ.
    let head = was.iter().zip(&is).take_while(|(was, is)| was == is).count();
    let (was, is) = (was.get(head..)?, is.get(head..)?);
    let tail = was.iter().rev().zip(is.iter().rev());
    let tail = tail.take_while(|(was, is)| was == is).count();
    let (was, is) = (was.get(..was.len() - tail)?, is.get(..is.len() - tail)?);
    let first = line.checked_add(u32::try_from(head).ok()?)?;
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
            file: path.to_owned(),
            lines: first..behind(was)?,
            removed,
            added,
        },
        now: first..behind(is)?,
        gone,
        text: new,
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

/// The whole lines between what a text and a file have in common at their beginning and at their end.
struct Differing {
    /// Where they stand in the text.
    old: Range<usize>,
    /// Those of the file.
    new: Vec<u8>,
    /// The 1-based number of the first of them, in both.
    line: u32,
}

impl Differing {
    /// `None`: nothing differs.
    fn of(old: &[u8], file: &File, length: usize) -> io::Result<Option<Self>> {
        let mut chunk = vec![0; CHUNK];
        let same = common(old, file, length, &mut chunk)?;
        if same == old.len() && same == length {
            return Ok(None);
        }
        let (before, _) = old.split_at(same);
        let start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let (before, old_rest) = old.split_at(start);
        let same = common_end(old_rest, file, start..length, &mut chunk)?;
        let (old_part, end) = old_rest.split_at(old_rest.len() - same);
        let new_length = length - start - same;
        if new_length > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut new = vec![0; new_length];
        file.read_exact_at(&mut new, offset(start))?;
        let at_line_start = |part: &[u8]| part.last().is_none_or(|byte| *byte == b'\n');
        // What is common at the end begins within a line of one text or of both: that line differs.
        let rest = if at_line_start(old_part) && at_line_start(&new) {
            0
        } else {
            end.iter()
                .position(|byte| *byte == b'\n')
                .map_or(end.len(), |at| at + 1)
        };
        new.extend(end.iter().take(rest));
        // A text of 256 MiB has fewer lines than a `u32` counts.
        let line = u32::try_from(line_ends(before))
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        Ok(Some(Self {
            old: start..start + old_part.len() + rest,
            new,
            line,
        }))
    }
}

/// How many bytes the text and the file share from the beginning.
fn common(text: &[u8], file: &File, length: usize, chunk: &mut [u8]) -> io::Result<usize> {
    let text = text.get(..length).unwrap_or(text);
    let mut same = 0;
    for part in text.chunks(chunk.len()) {
        let (read, _) = chunk.split_at_mut(part.len());
        file.read_exact_at(read, offset(same))?;
        if part != read {
            let bytes = part.iter().zip(&*read);
            return Ok(same + bytes.take_while(|(one, other)| one == other).count());
        }
        same += part.len();
    }
    Ok(same)
}

/// How many bytes the text and this part of the file share up to the end.
fn common_end(text: &[u8], file: &File, bytes: Range<usize>, chunk: &mut [u8]) -> io::Result<usize> {
    let text = text.get(text.len().saturating_sub(bytes.len())..).unwrap_or(text);
    let mut same = 0;
    for part in text.rchunks(chunk.len()) {
        let (read, _) = chunk.split_at_mut(part.len());
        file.read_exact_at(read, offset(bytes.end - same - part.len()))?;
        if part != read {
            let bytes = part.iter().rev().zip(read.iter().rev());
            return Ok(same + bytes.take_while(|(one, other)| one == other).count());
        }
        same += part.len();
    }
    Ok(same)
}

fn offset(at: usize) -> u64 {
    // No file that is read is longer than 256 MiB.
    u64::try_from(at).unwrap_or(u64::MAX)
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

/// Read and compared at once: it stays in a near cache, where a copy of the whole file would be written to memory first.
const CHUNK: usize = 64 << 10;

/// More than an edit by hand, far less than what takes as long as reading everything.
const MAX_LINES: usize = 64;

/// Lines have comments. A file that is another from the beginning is not read to its end for nothing.
const MAX_BYTES: usize = 256 << 10;

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

    fn compared(old: &str, new: &str) -> Option<Edit> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("set.txt");
        std::fs::write(&path, new).expect("a file");
        match compare(&path, old.as_bytes())? {
            Found::Edit(edit) => Some(edit),
            Found::Same => panic!("{old:?} is not {new:?}"),
        }
    }

    fn found(old: &str, new: &str) -> (Range<u32>, Vec<String>, Vec<String>, Range<u32>) {
        let edit = compared(old, new).expect("a small change");
        assert_eq!(edit.after(old.as_bytes()), new.as_bytes());
        let Edit { change, now, .. } = edit;
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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.txt");
        let mut chunk = vec![0; CHUNK];
        for length in [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7] {
            let text = vec![b'a'; length];
            let mut same = |other: &[u8]| {
                std::fs::write(&path, other).unwrap();
                let file = File::open(&path).unwrap();
                let start = common(&text, &file, other.len(), &mut chunk).unwrap();
                let end = common_end(&text, &file, 0..other.len(), &mut chunk).unwrap();
                (start, end)
            };
            assert_eq!(same(&text), (length, length));
            assert_eq!(same(&text[1..]), (length - 1, length - 1));
            assert_eq!(same(&vec![b'a'; length + 1]), (length, length));
            for at in [0, 1, CHUNK - 2, length / 2, length - 1] {
                let mut other = text.clone();
                other[at] = b'b';
                assert_eq!(same(&other), (at, length - 1 - at));
            }
            let mut lines = text;
            lines[length / 2] = b'\n';
            assert_eq!(line_ends(&lines), 1);
            assert_eq!(line_ends(&vec![b'\n'; length]), length);
        }
        std::fs::write(&path, "1.0.0.1\n").unwrap();
        assert!(matches!(compare(&path, b"1.0.0.1\n"), Some(Found::Same)));
    }

    #[test]
    fn what_is_not_small_and_good_is_left_to_a_whole_reading() {
        let edit = compared;
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
