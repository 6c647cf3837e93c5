//! From the old and the new text of a set file to the few lines that changed, when nothing else did.
//!
//! set files as they were read, and as they are now → **`Edit`** → tables changed in place, and the policy after it. Whatever is
//! not plainly small and good is not decided here: `None` says that the whole policy is to be read again, which also says what is
//! wrong with it. Must not know tables.

mod after;
mod files;
mod lines;

use std::ops::Range;
use std::path::PathBuf;

use ipnet::IpNet;

pub use files::SetFiles;
pub(crate) use files::{Families, FileSet, SetFile};

/// What changed in one text set file, when nothing else did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The set file, as in `List::file` of the elements' origin.
    pub file: PathBuf,
    /// Lines of the old file that are gone, 1-based, half open; elements of `file` whose origin line lies in it are removed.
    pub lines: Range<u32>,
    /// The prefixes that those lines held.
    pub removed: Vec<IpNet>,
    /// The lines that stand in their place: number in the new file, prefix.
    pub added: Vec<(u32, IpNet)>,
}

impl Change {
    /// Whether the file holds the same prefixes as before: comments and blank lines came or went.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    /// Every prefix that went or came.
    fn prefixes(&self) -> impl Iterator<Item = &IpNet> {
        self.removed
            .iter()
            .chain(self.added.iter().map(|(_, prefix)| prefix))
    }
}

/// A change that was found in a set file.
#[derive(Clone, Debug)]
pub struct Edit {
    /// What changed.
    pub change: Change,
    /// The lines of the new file that stand in the place of `change.lines`, comments and blank ones included.
    now: Range<u32>,
    /// The bytes of the old text that are gone.
    gone: Range<usize>,
    /// The bytes that stand in their place.
    text: Vec<u8>,
}

impl Edit {
    /// The text after the edit.
    fn after(&self, old: &[u8]) -> Vec<u8> {
        let before = old.get(..self.gone.start).unwrap_or_default();
        let behind = old.get(self.gone.end..).unwrap_or_default();
        [before, &self.text, behind].concat()
    }
}
