//! The set files of a policy as they were read, so that the next reading finds what changed.
//!
//! check → **`SetFiles`** → edits. It keeps the text of every file that can be edited in place, and what the checks of a whole
//! reading would look at; every check of `check::sets` that an edit could fail has its counterpart here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::after::{After, distinct};
use super::lines::Found;
use super::{Change, Edit, lines};
use crate::Policy;
use crate::check::lists::{age_beyond, oldest, within};
use crate::check::set_file::{MAX_ELEMENTS, Widest};
use crate::check::sets::MAX_JOINED;
use crate::policy::{Element, ListedSet, PrefixSet};

/// The set files of a loaded policy. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SetFiles {
    sets: Vec<FileSet>,
    /// Elements that were copied into unions of sets, and how many unions those are.
    joined: usize,
    copies: usize,
}

/// A set that has files.
#[derive(Clone, Debug)]
pub(crate) struct FileSet {
    pub(crate) name: String,
    pub(crate) prefixes: PrefixSet,
    pub(crate) families: Families,
    pub(crate) widest: Widest,
    pub(crate) max_change: Option<u64>,
    pub(crate) kept_back: bool,
    pub(crate) files: Vec<SetFile>,
}

/// One of its files.
#[derive(Clone, Debug)]
pub(crate) struct SetFile {
    pub(crate) path: PathBuf,
    /// As it was read; `None` when it is not edited in place.
    pub(crate) text: Option<Arc<Vec<u8>>>,
    pub(crate) entries: usize,
    pub(crate) max_age: Option<Duration>,
    /// It was older than that.
    pub(crate) old: bool,
}

/// How many elements there are of each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Families {
    v4: usize,
    v6: usize,
}

impl SetFiles {
    pub(crate) const fn new(joined: usize, copies: usize) -> Self {
        Self {
            sets: Vec::new(),
            joined,
            copies,
        }
    }

    /// Adds a set; one that no rule uses, or that holds what is not in its files, is not edited.
    pub(crate) fn add(&mut self, mut set: FileSet, used: bool) {
        if set.files.is_empty() {
            return;
        }
        if !used || set.kept_back {
            for file in &mut set.files {
                file.text = None;
            }
        }
        set.let_go();
        self.sets.push(set);
    }

    /// The files that these elements come from are not edited.
    pub(crate) fn leave_out(&mut self, elements: &[Element]) {
        let mut elements = elements;
        while let Some((first, rest)) = elements.split_first() {
            let list = &first.origin.list;
            let files = self.sets.iter_mut().flat_map(|set| &mut set.files);
            for file in files.filter(|file| list.feed && file.path == list.file) {
                file.text = None;
            }
            let same = |element: &&Element| Arc::ptr_eq(&element.origin.list, list);
            elements = rest
                .get(rest.iter().take_while(same).count()..)
                .unwrap_or_default();
        }
        self.sets.iter_mut().for_each(FileSet::let_go);
    }

    /// What changed in these files, which were read before and have been written since; those that say the same as before are left
    /// out. `None`: read the whole policy again. `policy` is what was read.
    #[must_use]
    pub fn edits(&self, paths: &[PathBuf], policy: &Policy) -> Option<Vec<Edit>> {
        // Every edit costs a walk over the policy.
        if paths.len() > MAX_FILES {
            return None;
        }
        let mut files = self.sets.iter().flat_map(|set| &set.files);
        // The warnings of a whole reading would be others.
        if files.any(|file| file.old || age_beyond(&file.path, file.max_age).is_some()) {
            return None;
        }
        let (mut edits, mut sets) = (Vec::new(), Vec::new());
        let mut added = 0;
        for path in paths {
            let (set, file) = self.find(path)?;
            let text = file.text.as_ref()?;
            let edit = match lines::compare(path, text)? {
                Found::Same => continue,
                Found::Edit(edit) => edit,
            };
            // Edits are checked one by one, so each must leave what the others are checked by as it is.
            if sets.contains(&&set.name) || !set.takes(file, &edit.change, policy) {
                return None;
            }
            sets.push(&set.name);
            added += edit.change.added.len();
            edits.push(edit);
        }
        let joined = self.joined.saturating_add(added.saturating_mul(self.copies));
        (self.copies == 0 || joined < MAX_JOINED).then_some(edits)
    }

    /// The policy after the edit, whose files these are from now on.
    #[must_use]
    pub fn take(&mut self, policy: &Policy, edit: &Edit) -> Policy {
        let change = &edit.change;
        let mut after = After::new(edit);
        let mut policy = after.policy(policy);
        // At most: a whole reading counts them anew.
        let joined = change.added.len().saturating_mul(self.copies);
        self.joined = self.joined.saturating_add(joined);
        let edited = |set: &&mut FileSet| set.files.iter().any(|file| file.path == change.file);
        let Some(set) = self.sets.iter_mut().find(edited) else {
            return policy;
        };
        let elements = set.prefixes.elements();
        if let Some(listed) = policy.sets.iter_mut().find(|listed| listed.name == set.name) {
            let distinct = distinct(count(listed), elements, change);
            listed.entries = exchanged(listed.entries, change);
            let distinct = usize::try_from(distinct).unwrap_or(usize::MAX);
            listed.covered = listed.entries.saturating_sub(distinct);
        }
        // Those that were only written again are younger too.
        for listed in &mut policy.sets {
            listed.oldest = oldest(&listed.files);
        }
        set.prefixes = after.set(&set.prefixes);
        set.families = set.families.after(change);
        for file in set.files.iter_mut().filter(|file| file.path == change.file) {
            file.entries = exchanged(file.entries, change);
            file.text = file.text.as_ref().map(|text| Arc::new(edit.after(text)));
        }
        policy
    }

    /// The bytes that a file was read as; `None` when it is not edited.
    #[must_use]
    pub fn text(&self, path: &Path) -> Option<&[u8]> {
        let (_, file) = self.find(path)?;
        file.text.as_ref().map(|text| text.as_slice())
    }

    /// The one file of that path: elements of a path that is named twice cannot be told apart.
    fn find(&self, path: &Path) -> Option<(&FileSet, &SetFile)> {
        let files = self
            .sets
            .iter()
            .flat_map(|set| set.files.iter().map(move |file| (set, file)));
        let mut found = files.filter(|(_, file)| file.path == path);
        let first = found.next();
        first.filter(|_| found.next().is_none())
    }
}

impl FileSet {
    /// Lets go of the elements when no file is edited.
    fn let_go(&mut self) {
        if self.files.iter().all(|file| file.text.is_none()) {
            self.prefixes = PrefixSet::default();
        }
    }

    /// Whether a whole reading would take the change without a word.
    fn takes(&self, file: &SetFile, change: &Change, policy: &Policy) -> bool {
        let families = self.families.after(change);
        let added = || change.added.iter().map(|(_, prefix)| prefix);
        let spared = |prefix: &IpNet| {
            let mut never = policy.never_ban.elements().iter();
            never.any(|never| never.prefix.contains(prefix) || prefix.contains(&never.prefix))
        };
        exchanged(file.entries, change) > 0
            && families.total() <= MAX_ELEMENTS
            && families.same_as(self.families)
            && !added().any(|prefix| self.widest.refuses(prefix).is_some())
            && !change.prefixes().any(spared)
            && self.within_max_change(change, policy)
    }

    fn within_max_change(&self, change: &Change, policy: &Policy) -> bool {
        let Some(percent) = self.max_change else {
            return true;
        };
        let Some(listed) = policy.sets.iter().find(|listed| listed.name == self.name) else {
            return false;
        };
        let was = count(listed);
        // A prefix covers, or uncovers, no more prefixes than it has addresses. That spares a walk over the set.
        let most = change.prefixes().map(addresses).fold(0, u64::saturating_add);
        within(was, was.saturating_add(most), percent)
            || within(was, distinct(was, self.prefixes.elements(), change), percent)
    }
}

impl Families {
    pub(crate) fn of(elements: &[Element]) -> Self {
        let v4 = elements.iter().filter(|element| element.prefix.addr().is_ipv4());
        let v4 = v4.count();
        Self {
            v4,
            v6: elements.len() - v4,
        }
    }

    const fn total(self) -> usize {
        self.v4 + self.v6
    }

    /// Whether the same of the two occur: rules were checked for that.
    const fn same_as(self, other: Self) -> bool {
        (self.v4 == 0) == (other.v4 == 0) && (self.v6 == 0) == (other.v6 == 0)
    }

    fn after(mut self, change: &Change) -> Self {
        for (_, prefix) in &change.added {
            *self.of_family(prefix) += 1;
        }
        for prefix in &change.removed {
            let count = self.of_family(prefix);
            *count = count.saturating_sub(1);
        }
        self
    }

    const fn of_family(&mut self, prefix: &IpNet) -> &mut usize {
        match prefix {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        }
    }
}

/// Entries of a set that lie in no other.
fn count(listed: &ListedSet) -> u64 {
    u64::try_from(listed.entries.saturating_sub(listed.covered)).unwrap_or(u64::MAX)
}

/// So many entries less what went and with what came.
const fn exchanged(entries: usize, change: &Change) -> usize {
    entries
        .saturating_add(change.added.len())
        .saturating_sub(change.removed.len())
}

fn addresses(prefix: &IpNet) -> u64 {
    1_u64
        .checked_shl(u32::from(prefix.max_prefix_len() - prefix.prefix_len()))
        .unwrap_or(u64::MAX)
}

const MAX_FILES: usize = 4;
