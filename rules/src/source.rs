//! Policy files as text: bounded reading, and how a byte offset becomes a line and a column.
//!
//! **files** → spans → Document. Every value a document keeps is a [`Written`]: the value and where it stands. Knows no
//! TOML and judges nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::Spot;
use crate::policy::rule::Place;

/// A value and where it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> Written<Vec<T>> {
    /// The same list with each element replaced.
    pub(crate) fn map<U>(self, replace: impl FnMut(T) -> U) -> Written<Vec<U>> {
        Written {
            value: self.value.into_iter().map(replace).collect(),
            span: self.span,
        }
    }
}

/// Bytes `start..end` of one policy file. Spans compare in the order of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) file: FileId,
    start: u32,
    end: u32,
}

/// One file of [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(u32);

impl FileId {
    /// A span in this file. Files are bounded far below 4 GiB, so saturation never shows.
    pub(crate) fn span(self, bytes: Range<usize>) -> Span {
        Span {
            file: self,
            start: u32::try_from(bytes.start).unwrap_or(u32::MAX),
            end: u32::try_from(bytes.end).unwrap_or(u32::MAX),
        }
    }
}

/// The text of every policy file read so far, in the order read.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Vec<SourceFile>,
    /// Where absolute paths start; empty: at the root of the file system.
    root: PathBuf,
    /// A copy of the files as they were last taken, below this folder.
    last_good: Option<PathBuf>,
}

#[derive(Debug)]
struct SourceFile {
    name: Arc<PathBuf>,
    text: Arc<str>,
    line_starts: Vec<usize>,
}

impl Sources {
    /// No files yet, and absolute paths start at `root`: for a copy of a policy that keeps the folders of the original.
    pub(crate) fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            ..Self::default()
        }
    }

    /// No files yet, and what was last taken is below `last_good`.
    pub(crate) fn beside(last_good: &Path) -> Self {
        Self {
            last_good: Some(last_good.to_owned()),
            ..Self::default()
        }
    }

    /// The copy of a file as it was last taken, if there are copies.
    pub(crate) fn last_good(&self, path: &Path) -> Option<PathBuf> {
        Some(self.last_good.as_ref()?.join(way_in_copy(path).ok()?))
    }

    /// Adds a file.
    pub(crate) fn add(&mut self, name: PathBuf, text: String) -> FileId {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        self.files.push(SourceFile {
            name: Arc::new(name),
            text: text.into(),
            line_starts,
        });
        FileId(u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX))
    }

    /// The file's name as the user wrote it.
    pub(crate) fn name(&self, file: FileId) -> Arc<PathBuf> {
        self.file(file)
            .map_or_else(Arc::default, |file| Arc::clone(&file.name))
    }

    /// The file's text.
    pub(crate) fn text(&self, file: FileId) -> Arc<str> {
        self.file(file)
            .map_or_else(|| Arc::from(""), |file| Arc::clone(&file.text))
    }

    /// `path` as written in `file`: relative paths start at the file's folder.
    pub(crate) fn resolve(&self, file: FileId, path: &str) -> PathBuf {
        let (folder, rest) = self.start(file, path);
        folder.join(rest)
    }

    /// The folder that `path`, as written in `file`, starts at, and the way from there.
    pub(crate) fn start<'a>(&self, file: FileId, path: &'a str) -> (PathBuf, &'a Path) {
        let path = Path::new(path);
        match path.strip_prefix("/") {
            Ok(rest) if self.root.as_os_str().is_empty() => (PathBuf::from("/"), rest),
            Ok(rest) => (self.root.clone(), rest),
            Err(_relative) => (
                self.name(file).parent().map(Path::to_owned).unwrap_or_default(),
                path,
            ),
        }
    }

    /// Every file and its text.
    pub(crate) fn texts(&self) -> Vec<(Arc<PathBuf>, Arc<str>)> {
        self.files
            .iter()
            .map(|file| (Arc::clone(&file.name), Arc::clone(&file.text)))
            .collect()
    }

    /// Every file name, in the order read.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.name.as_path())
    }

    /// Line and column of the span's first character.
    pub(crate) fn place(&self, span: Span) -> Place {
        let (line, column) = self.file(span.file).map_or((1, 1), |file| {
            let (line, start) = file.line(span.start as usize);
            let column = file.characters(start, span.start as usize);
            (line, column.saturating_add(1))
        });
        Place {
            file: self.name(span.file),
            line,
            column,
        }
    }

    /// The file of `span`, and what a message about it shows.
    pub(crate) fn spot(&self, span: Span) -> (Arc<PathBuf>, Spot) {
        let place = self.place(span);
        let (start, end) = (span.start as usize, span.end as usize);
        let (text, from) = self
            .file(span.file)
            .map_or(("", start), |file| file.line_text(start));
        let mark = start.saturating_sub(from)..end.saturating_sub(from);
        (place.file, Spot::new(place.line, place.column, text, mark))
    }

    fn file(&self, file: FileId) -> Option<&SourceFile> {
        self.files.get(file.0 as usize)
    }
}

impl SourceFile {
    /// The 1-based number of the line that holds the byte at `offset`, and where that line starts.
    fn line(&self, offset: usize) -> (u32, usize) {
        let number = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(number - 1).copied().unwrap_or(0);
        (u32::try_from(number).unwrap_or(u32::MAX), start)
    }

    /// The line that holds the byte at `offset`, without its end, and where it starts.
    fn line_text(&self, offset: usize) -> (&str, usize) {
        let (number, start) = self.line(offset);
        let next = self.line_starts.get(number as usize).copied();
        let text = self.text.get(start..next.unwrap_or(self.text.len()));
        (text.unwrap_or_default().trim_end_matches(['\r', '\n']), start)
    }

    /// How many characters `start..end` holds; bytes are counted where the range is very long.
    fn characters(&self, start: usize, end: usize) -> u32 {
        let bytes = end.saturating_sub(start);
        let count = match self.text.get(start..end) {
            Some(text) if bytes <= COUNTED_CHARACTERS => text.chars().count(),
            _ => bytes,
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// Where the copy of a file stands in a folder that keeps the folders of the original: the way from the root of the file system.
///
/// # Errors
///
/// What the system says when the current folder is not known.
pub fn way_in_copy(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    // `..` stays: the loader walks the same way in the copy. One at the very top goes nowhere, and is left out.
    let mut depth = 0_usize;
    let mut way = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::Normal(name) => {
                way.push(name);
                depth += 1;
            }
            Component::ParentDir if depth > 0 => {
                way.push("..");
                depth -= 1;
            }
            _ => {}
        }
    }
    Ok(way)
}

/// Reads at most `limit` bytes of the file at `path`.
///
/// # Errors
///
/// What the system says, and [`io::ErrorKind::FileTooLarge`] when the file is larger.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // What a pipe says of its length is nothing; what a file says is not believed beyond the limit.
    let length = file.metadata()?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// As [`read_bounded`], and refuses what is not a regular file: opening a pipe that a glob caught would wait for ever.
///
/// # Errors
///
/// As [`read_bounded`], and [`io::ErrorKind::InvalidInput`].
pub(crate) fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    regular(path)?;
    read_bounded(path, limit)
}

/// As [`read_regular`], to be read in parts: the file, and its length.
///
/// # Errors
///
/// As [`read_regular`].
pub(crate) fn open_regular(path: &Path, limit: u64) -> io::Result<(File, usize)> {
    regular(path)?;
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let length = usize::try_from(length).map_err(|_overflow| io::ErrorKind::FileTooLarge)?;
    Ok((file, length))
}

fn regular(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_file() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// Columns of a file that is one line of megabytes would otherwise cost a walk over megabytes each.
const COUNTED_CHARACTERS: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_counts_characters_and_not_bytes() {
        let mut sources = Sources::default();
        let file = sources.add("a.toml".into(), "x\nä = 'ö' # y\n".to_owned());
        let (_, spot) = sources.spot(file.span(7..11));
        assert_eq!((spot.line, spot.column, spot.length), (2, 5, 3));
        assert_eq!(spot.excerpt, "ä = 'ö' # y");
    }

    #[test]
    fn a_span_behind_the_end_or_inside_a_character_has_a_place() {
        let mut sources = Sources::default();
        let file = sources.add("a.toml".into(), "ä".to_owned());
        for bytes in [1..2, 2..2, 90..95] {
            assert_eq!(sources.spot(file.span(bytes)).1.line, 1);
        }
    }

    #[test]
    fn no_path_leads_out_of_a_copy() {
        let way = |path: &str| way_in_copy(Path::new(path)).unwrap();
        assert_eq!(way("/etc/ravelin/../x"), Path::new("etc/ravelin/../x"));
        assert_eq!(way("/../../x"), Path::new("x"));
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("five");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap().len(), 5);
        assert_eq!(
            read_bounded(&path, 4).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn a_folder_is_not_a_regular_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_regular(folder.path(), 5).is_err());
    }
}
