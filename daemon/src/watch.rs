//! Tells when files have changed: the policy, its includes and sets, certificates and keys.
//!
//! the system's notices → **watch** → reload. Directories are watched, not files, because files are replaced by renaming; a notice
//! only makes us look, and a change is what the files' metadata says, so that other traffic in a directory reloads nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use ravelin_rules::Policy;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// Watches a set of files.
pub struct Watch {
    /// `None` when the system has no notices to give: then only the regular look is left.
    notices: Option<RecommendedWatcher>,
    noticed: mpsc::Receiver<()>,
    directories: BTreeSet<PathBuf>,
    seen: Seen,
    /// There is reason to look.
    due: bool,
}

/// What a set of files was like at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, Option<Stamp>>);

impl Seen {
    /// The files as they are now. Take it before they are read: what changes while they are read is then a change.
    pub fn now(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let stamped = |file: PathBuf| {
            let state = stamp(&file);
            (file, state)
        };
        Self(files.into_iter().map(stamped).collect())
    }

    /// The same files as they are now.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::now(self.0.keys().cloned())
    }

    /// The files that have changed since `earlier`, or were not known then.
    #[must_use]
    pub fn changed_since(&self, earlier: &Self) -> Vec<PathBuf> {
        let changed = self
            .0
            .iter()
            .filter(|(file, state)| earlier.0.get(*file) != Some(*state));
        changed.map(|(file, _)| file.clone()).collect()
    }

    /// These files, and of those that were known earlier what was known: a change since then is one to come.
    #[must_use]
    pub fn or_earlier(mut self, earlier: &Self) -> Self {
        for (file, state) in &mut self.0 {
            if let Some(known) = earlier.0.get(file) {
                *state = *known;
            }
        }
        self
    }
}

/// What changes when a file does: modification and change time, length, which file it is.
type Stamp = (i64, i64, i64, i64, u64, u64, u64);

impl Watch {
    /// Watches nothing yet.
    #[must_use]
    pub fn new() -> Self {
        // One pending notice is enough: it means "look".
        let (notice, noticed) = mpsc::channel(1);
        let notices = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| !is_reading(event.kind)) {
                // Full: a look is due already.
                let _full = notice.try_send(());
            }
        });
        let notices = notices
            .inspect_err(|error| tracing::warn!(%error, "no file notices: changes are seen every 30 s"))
            .ok();
        Self {
            notices,
            noticed,
            directories: BTreeSet::new(),
            seen: Seen::default(),
            due: false,
        }
    }

    /// Watches these files from now on and no others; they were last known to be like this. What was already watched keeps its own
    /// last known state: a change between the last look and now is not lost.
    pub fn replace(&mut self, mut seen: Seen) {
        let mut directories = BTreeSet::new();
        for file in seen.0.keys() {
            directories.extend(directory(file));
            // A link's target can be replaced without a notice in the link's directory.
            directories.extend(fs::canonicalize(file).ok().as_deref().and_then(directory));
        }
        if let Some(notices) = &mut self.notices {
            for old in self.directories.difference(&directories) {
                // It may be gone already.
                drop(notices.unwatch(old));
            }
            for new in directories.difference(&self.directories) {
                if let Err(error) = notices.watch(new, RecursiveMode::NonRecursive) {
                    tracing::warn!(directory = %new.display(), %error, "no file notices: changes are seen every 30 s");
                }
            }
        }
        self.directories = directories;
        for (file, known) in std::mem::take(&mut self.seen).0 {
            seen.0.entry(file).and_modify(|state| *state = known);
        }
        self.seen = seen;
        self.due = true;
    }

    /// Ready when a file has changed and its writer seems to be done. Loses nothing when dropped half-way.
    pub async fn changed(&mut self) {
        loop {
            if !self.due {
                // A notice, or the regular look for file systems that give none. The channel's other end lives as long as
                // `notices`.
                if let Ok(None) = timeout(LOOK_EVERY, self.noticed.recv()).await {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                self.due = true;
            }
            self.settled().await;
            let now = Seen::now(self.seen.0.keys().cloned());
            self.due = false;
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    /// Waits until notices have paused, so that a certificate and its key are seen as one change.
    async fn settled(&mut self) {
        let latest = Instant::now() + LONGEST_WAIT;
        loop {
            tokio::select! {
                () = sleep_until(latest) => return,
                more = timeout(PAUSE, self.noticed.recv()) => {
                    if more.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The files of the policy whose main file is `main`, and the folders in which a pattern of its `include` may find another.
#[must_use]
pub fn policy_files(main: &Path, policy: &Policy) -> Vec<PathBuf> {
    let included = policy
        .files
        .iter()
        .filter(|file| *file != main && file.extension().is_some_and(|extension| extension == "toml"));
    // The main file's folder is not watched for its own sake: sockets and logs come and go there.
    let folders = included.filter_map(|file| directory(file));
    let mut files: Vec<PathBuf> = folders.collect();
    files.extend(policy.files.iter().cloned());
    files.push(main.to_owned());
    files
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

fn is_reading(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}

fn directory(file: &Path) -> Option<PathBuf> {
    let parent = file.parent()?;
    Some(if parent.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        parent.to_owned()
    })
}

/// `None`: there is no such file.
fn stamp(file: &Path) -> Option<Stamp> {
    let file = fs::metadata(file).ok()?;
    Some((
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
        file.len(),
        file.ino(),
        file.dev(),
    ))
}

/// Long enough for a tool that writes two files one after the other.
const PAUSE: Duration = Duration::from_millis(200);

/// A directory that never rests must not keep a change from being seen.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

const LOOK_EVERY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ravelin-watch-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir(&path).unwrap();
        path
    }

    #[tokio::test]
    async fn a_replaced_file_is_a_change_and_its_neighbour_is_not() {
        let home = scratch("replaced");
        let (watched, neighbour) = (home.join("watched"), home.join("neighbour"));
        fs::write(&watched, "1").unwrap();
        let mut watch = Watch::new();
        watch.replace(Seen::now([watched.clone()]));
        fs::write(&neighbour, "x").unwrap();
        assert!(
            timeout(Duration::from_millis(600), watch.changed())
                .await
                .is_err()
        );
        fs::write(home.join("new"), "2").unwrap();
        fs::rename(home.join("new"), &watched).unwrap();
        timeout(Duration::from_secs(5), watch.changed())
            .await
            .expect("the change is seen");
        fs::remove_file(&watched).unwrap();
        timeout(Duration::from_secs(5), watch.changed())
            .await
            .expect("the removal is seen");
        fs::remove_dir_all(home).unwrap();
    }

    #[test]
    fn what_has_changed_since_is_named_and_what_was_known_earlier_stays() {
        let home = scratch("since");
        let both = ["one", "other"].map(|name| home.join(name));
        let [one, other] = &both;
        fs::write(one, "1").unwrap();
        let earlier = Seen::now(both.clone());
        assert!(earlier.again().changed_since(&earlier).is_empty());
        fs::write(other, "2").unwrap();
        let now = earlier.again();
        let named = std::slice::from_ref(other);
        assert_eq!(now.changed_since(&earlier), named);
        assert_eq!(now.changed_since(&Seen::now([one.clone()])), named);
        assert_eq!(now.or_earlier(&earlier), earlier);
        fs::remove_dir_all(home).unwrap();
    }

    #[tokio::test]
    async fn a_link_that_points_elsewhere_is_a_change() {
        let home = scratch("link");
        for version in ["1", "2"] {
            fs::create_dir(home.join(version)).unwrap();
            fs::write(home.join(version).join("pem"), version).unwrap();
        }
        std::os::unix::fs::symlink("1", home.join("current")).unwrap();
        std::os::unix::fs::symlink("current/pem", home.join("pem")).unwrap();
        let mut watch = Watch::new();
        watch.replace(Seen::now([home.join("pem")]));
        std::os::unix::fs::symlink("2", home.join("next")).unwrap();
        fs::rename(home.join("next"), home.join("current")).unwrap();
        timeout(Duration::from_secs(5), watch.changed())
            .await
            .expect("the change is seen");
        fs::remove_dir_all(home).unwrap();
    }
}
