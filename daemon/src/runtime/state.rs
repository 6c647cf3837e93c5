//! What the filter keeps on disk for the next boot: the files of the last good policy, and the generation's number.
//!
//! ```text
//! <state folder>/generation             the number of the last generation
//! <state folder>/last-good/policy       the path of the main file
//! <state folder>/last-good/files/...    a copy of every file, in the folders of the original
//! ```
//!
//! A host boots with nothing in the kernel: if its policy does not load then, this one is applied instead.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use ravelin_rules::{Loaded, Policy, Report, load_below, load_beside, way_in_copy};

/// The state folder.
#[derive(Clone, Debug)]
pub(super) struct State {
    folder: PathBuf,
}

impl State {
    /// Uses `folder`, made if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, StateError> {
        let create = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        create.map_err(|source| StateError::write(folder, source))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The number of the last generation; 0 when there was none.
    pub(super) fn generation(&self) -> u32 {
        let text = fs::read_to_string(self.folder.join(GENERATION)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Remembers the number of the live generation.
    pub(super) fn remember_generation(&self, number: u32) -> Result<(), StateError> {
        let path = self.folder.join(GENERATION);
        replace(&path, format!("{number}\n").as_bytes()).map_err(|source| StateError::write(&path, source))
    }

    /// Loads the policy whose main file is `main`. Sets that changed too much keep what was taken last.
    ///
    /// # Errors
    ///
    /// What is wrong with the policy.
    pub(super) fn load(&self, main: &Path) -> Result<Loaded, Report> {
        load_beside(&self.folder.join(LAST_GOOD).join(FILES), main)
    }

    /// Keeps a copy of the policy whose main file is `main`. Of the files of a set that was kept back, the earlier copies stay.
    ///
    /// # Errors
    ///
    /// When the copy cannot be written, or is no longer a policy that loads: somebody has edited the files since. Then the
    /// earlier copy stays.
    pub(super) fn remember_policy(&self, main: &Path, policy: &Policy) -> Result<(), StateError> {
        let new = self.folder.join("last-good.new");
        let failed = |source| StateError::write(&new, source);
        self.copy(main, policy, &new).map_err(failed)?;
        if !matches!(load_copy(&new), Some(Ok(_))) {
            return Err(failed(io::Error::other(
                "the files have changed since they were read",
            )));
        }
        let last_good = self.folder.join(LAST_GOOD);
        // One step, so that a crash finds the old copy or the new one.
        let exchanged = renameat2(AT_FDCWD, &new, AT_FDCWD, &last_good, RenameFlags::RENAME_EXCHANGE);
        match exchanged {
            Ok(()) => {
                let _best_effort = fs::remove_dir_all(&new);
                Ok(())
            }
            Err(Errno::ENOENT) => fs::rename(&new, &last_good).map_err(failed),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Keeps these bytes as the copy of one file of the policy that is kept already.
    ///
    /// # Errors
    ///
    /// When the copy cannot be written. Then the earlier one stays.
    pub(super) fn remember_file(&self, file: &Path, bytes: &[u8]) -> Result<(), StateError> {
        let copy = way_in_copy(file).map(|way| self.folder.join(LAST_GOOD).join(FILES).join(way));
        // Beside the copies, where no pattern of the policy finds it after a crash.
        let new = self.folder.join(FILE_NEW);
        copy.and_then(|copy| replace_by(&new, &copy, bytes))
            .map_err(|source| StateError::write(&new, source))
    }

    /// Loads the last good policy; `None` when there is none.
    pub(super) fn last_good(&self) -> Option<Result<Loaded, Report>> {
        load_copy(&self.folder.join(LAST_GOOD))
    }

    fn copy(&self, main: &Path, policy: &Policy, to: &Path) -> io::Result<()> {
        let kept_back = policy.sets.iter().filter(|set| set.kept_back);
        let kept_back: HashSet<&PathBuf> = kept_back.flat_map(|set| &set.files).collect();
        let earlier = self.folder.join(LAST_GOOD).join(FILES);
        let _none_yet = fs::remove_dir_all(to);
        let below = to.join(FILES);
        for file in &policy.files {
            let way = way_in_copy(file)?;
            let copy = below.join(&way);
            if let Some(parent) = copy.parent() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
            }
            if kept_back.contains(file) {
                fs::copy(earlier.join(&way), &copy)?;
            } else {
                fs::copy(file, &copy)?;
            }
            File::open(&copy)?.sync_all()?;
        }
        let main = Path::new("/").join(way_in_copy(main)?);
        replace(&to.join(MAIN), main.as_os_str().as_bytes())
    }
}

/// Loads the copy in `folder`; `None` when there is none.
fn load_copy(folder: &Path) -> Option<Result<Loaded, Report>> {
    let main = fs::read(folder.join(MAIN)).ok()?;
    let main = PathBuf::from(std::ffi::OsString::from_vec(main));
    Some(load_below(&folder.join(FILES), &main))
}

/// Why nothing could be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to `{}`", path.display())]
pub struct StateError {
    path: PathBuf,
    source: io::Error,
}

impl StateError {
    fn write(path: &Path, source: io::Error) -> Self {
        Self {
            path: path.to_owned(),
            source,
        }
    }
}

/// Replaces a file in one step that survives a power cut.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_by(&path.with_extension("new"), path, content)
}

/// The same, written to `new` first.
fn replace_by(new: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(new, path)
}

const GENERATION: &str = "generation";
const LAST_GOOD: &str = "last-good";
const MAIN: &str = "policy";
const FILES: &str = "files";
const FILE_NEW: &str = "file.new";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::State;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn folder(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ravelin-state-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("etc")).unwrap();
        Folder(path)
    }

    #[test]
    fn the_last_good_policy_loads_when_the_original_is_broken() {
        let folder = folder("broken");
        let main = folder.0.join("etc/ravelin.toml");
        let included = folder.0.join("etc/more.toml");
        fs::write(&main, "include = [\"*.toml\"]\n[firewall]\nstateful = false\n").unwrap();
        fs::write(&included, "[[rule]]\nname = \"a\"\naction = \"deny\"\n").unwrap();
        let loaded = ravelin_rules::load(&main).unwrap();
        let state = State::open(&folder.0.join("state")).unwrap();
        assert!(state.last_good().is_none());
        for _ in 0..2 {
            state.remember_policy(&main, &loaded.policy).unwrap();
        }
        fs::write(&main, "nonsense").unwrap();
        fs::remove_file(&included).unwrap();
        let again = state.last_good().unwrap().unwrap();
        assert_eq!(again.policy.rules.len(), 1);
    }

    #[test]
    fn a_policy_that_broke_after_it_was_read_does_not_replace_the_last_good_one() {
        let folder = folder("edited");
        let main = folder.0.join("etc/ravelin.toml");
        fs::write(
            &main,
            "[firewall]\nstateful = false\n[[rule]]\nname = \"a\"\naction = \"deny\"\n",
        )
        .unwrap();
        let loaded = ravelin_rules::load(&main).unwrap();
        let state = State::open(&folder.0.join("state")).unwrap();
        state.remember_policy(&main, &loaded.policy).unwrap();
        fs::write(&main, "half a poli").unwrap();
        state.remember_policy(&main, &loaded.policy).unwrap_err();
        assert_eq!(state.last_good().unwrap().unwrap().policy.rules.len(), 1);
    }

    #[test]
    fn one_file_of_the_copy_is_replaced_and_the_rest_stays() {
        let folder = folder("file");
        let main = folder.0.join("etc/ravelin.toml");
        let feed = folder.0.join("etc/feed.txt");
        fs::write(
            &main,
            "[firewall]\nstateful = false\n[[set]]\nname = \"feed\"\nfiles = [\"feed.txt\"]\n[[rule]]\nname = \"a\"\naction = \"deny\"\nsource = \"@feed\"\n",
        )
        .unwrap();
        fs::write(&feed, "192.0.2.1\n").unwrap();
        let loaded = ravelin_rules::load(&main).unwrap();
        let state = State::open(&folder.0.join("state")).unwrap();
        state.remember_file(&feed, b"192.0.2.9\n").unwrap_err();
        state.remember_policy(&main, &loaded.policy).unwrap();
        state.remember_file(&feed, b"192.0.2.1\n192.0.2.9\n").unwrap();
        let again = state.last_good().unwrap().unwrap();
        assert_eq!(again.policy.sets[0].entries, 2);
    }

    #[test]
    fn the_generation_is_counted_on_over_restarts() {
        let folder = folder("generation");
        let open = || State::open(&folder.0.join("state")).unwrap();
        assert_eq!(open().generation(), 0);
        open().remember_generation(41).unwrap();
        assert_eq!(open().generation(), 41);
    }

    #[test]
    fn a_set_that_changed_too_much_keeps_what_was_taken_last_and_so_do_later_copies() {
        let folder = folder("kept-back");
        let main = folder.0.join("etc/ravelin.toml");
        let feed = folder.0.join("etc/feed.txt");
        let policy = |max_change: &str| {
            format!(
                "[firewall]\nstateful = false\n[[set]]\nname = \"feed\"\nfiles = [\"feed.txt\"]\nmax_change = \"{max_change}\"\n[[rule]]\nname = \"a\"\naction = \"deny\"\nsource = \"@feed\"\n"
            )
        };
        let lines =
            |count: u8| -> String { (0..count).map(|line| format!("192.0.2.{}\n", line * 2)).collect() };
        let state = State::open(&folder.0.join("state")).unwrap();
        let take = |expected: usize, kept_back: bool| {
            let loaded = state.load(&main).unwrap();
            let set = &loaded.policy.sets[0];
            assert_eq!((set.entries, set.kept_back), (expected, kept_back));
            assert_eq!(!loaded.warnings.is_empty(), kept_back);
            state.remember_policy(&main, &loaded.policy).unwrap();
        };
        fs::write(&main, policy("30%")).unwrap();
        fs::write(&feed, lines(100)).unwrap();
        take(100, false);
        fs::write(&feed, lines(1)).unwrap();
        // Again and again: what was refused never becomes the measure.
        take(100, true);
        take(100, true);
        fs::write(&feed, lines(71)).unwrap();
        take(71, false);
        fs::write(&feed, lines(110)).unwrap();
        take(71, true);
        fs::write(&main, policy("60%")).unwrap();
        take(110, false);
    }
}
