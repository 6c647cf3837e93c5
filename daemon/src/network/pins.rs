//! The pin folder: where links and shared maps outlive the process, and who may change them.
//!
//! ```text
//! <pin folder>/links/<interface>            the link that holds the inbound program on that interface
//! <pin folder>/links-outbound/<interface>   the same of the outbound program
//! <pin folder>/filters-outbound/<mark>      empty folders: what stands on which interface, where no link holds that program
//! <pin folder>/maps-<ABI>/<MAP>             counters and the directory of rule names
//! ```
//!
//! The folder is locked while a filter owns it. Maps of another ABI are not ours: they are left alone until a generation of
//! this ABI is live, and removed then.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use ravelin_datapath::Direction;
use ravelin_datapath::wire::ABI;

/// The pin folder of one filter, locked until dropped unless it is only looked into.
#[derive(Debug)]
pub struct PinDir {
    root: PathBuf,
    _lock: Option<Flock<File>>,
}

impl PinDir {
    /// Takes the folder at `root`, made if it is not there.
    ///
    /// # Errors
    ///
    /// When it is not on a bpf file system or another process has it.
    pub fn open(root: &Path) -> Result<Self, PinsError> {
        require_bpf_file_system(root)?;
        let links = Direction::ALL.map(|direction| root.join(links_folder(direction)));
        for directory in [root.to_owned(), root.join(maps_folder(ABI)), root.join(FILTERS)]
            .into_iter()
            .chain(links)
        {
            let create = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            create.map_err(|source| PinsError::Create {
                path: directory,
                source,
            })?;
        }
        Ok(Self {
            _lock: Some(lock(root)?),
            root: root.to_owned(),
        })
    }

    /// Takes the folder at `root` if it is there.
    ///
    /// # Errors
    ///
    /// When another process has it.
    pub fn open_existing(root: &Path) -> Result<Option<Self>, PinsError> {
        if !root.is_dir() {
            return Ok(None);
        }
        require_bpf_file_system(root)?;
        Ok(Some(Self {
            _lock: Some(lock(root)?),
            root: root.to_owned(),
        }))
    }

    /// The folder at `root` to look into, whoever has it; `None` when it is not there. Nothing may be changed through it.
    ///
    /// # Errors
    ///
    /// When it is not on a bpf file system.
    pub fn look(root: &Path) -> Result<Option<Self>, PinsError> {
        if !root.is_dir() {
            return Ok(None);
        }
        require_bpf_file_system(root)?;
        Ok(Some(Self {
            _lock: None,
            root: root.to_owned(),
        }))
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a shared map is pinned.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.root.join(maps_folder(ABI)).join(name)
    }

    /// Where the link of this direction on `interface` is pinned.
    #[must_use]
    pub fn link(&self, direction: Direction, interface: &str) -> PathBuf {
        self.root.join(links_folder(direction)).join(escape(interface))
    }

    /// The interfaces that have a pinned link of this direction, sorted.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn linked(&self, direction: Direction) -> Result<Vec<String>, PinsError> {
        let path = self.root.join(links_folder(direction));
        let mut interfaces: Vec<String> = names(&path)?.iter().map(|name| unescape(name)).collect();
        interfaces.sort_unstable();
        Ok(interfaces)
    }

    /// Remembers `what` of the interface of that index: a name may go over to another interface.
    ///
    /// # Errors
    ///
    /// When there is no place for it.
    pub fn mark(&self, what: &str, index: u32) -> Result<(), PinsError> {
        let path = self.mark_path(what, index);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done.map_err(|source| PinsError::Create { path, source }),
        }
    }

    /// Forgets it, if it is there.
    ///
    /// # Errors
    ///
    /// When it stays.
    pub fn unmark(&self, what: &str, index: u32) -> Result<(), PinsError> {
        let path = self.mark_path(what, index);
        match fs::remove_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|source| PinsError::Remove { path, source }),
        }
    }

    /// The indexes of the interfaces of which `what` is remembered.
    #[must_use]
    pub fn marked(&self, what: &str) -> Vec<u32> {
        let names = names(&self.root.join(FILTERS)).unwrap_or_default();
        let indexes = names
            .iter()
            .filter_map(|name| name.strip_prefix(what)?.parse().ok());
        indexes.collect()
    }

    fn mark_path(&self, what: &str, index: u32) -> PathBuf {
        self.root.join(FILTERS).join(format!("{what}{index}"))
    }

    /// Removes the maps of every other ABI, best effort: nothing reads them any more.
    pub fn remove_other_maps(&self) {
        let ours = maps_folder(ABI);
        for name in names(&self.root).unwrap_or_default() {
            if name.starts_with(MAPS) && name != ours {
                let _best_effort = remove_folder(&self.root.join(name));
            }
        }
    }

    /// Removes the pins of these shared maps, if they are there.
    pub fn forget(&self, names: &[&str]) {
        for name in names {
            let _not_there = fs::remove_file(self.map(name));
        }
    }

    /// Removes everything in the folder, and the folder. Gives the paths that were pinned.
    ///
    /// # Errors
    ///
    /// What could not be removed.
    pub fn remove(self) -> Result<Vec<PathBuf>, PinsError> {
        let mut removed = Vec::new();
        // Links first: a link that goes away takes its program off the interface while the maps are still there.
        let mut folders = names(&self.root)?;
        let is_links = |name: &str| Direction::ALL.iter().any(|way| links_folder(*way) == name);
        folders.sort_unstable_by_key(|name| (!is_links(name), name.clone()));
        for name in folders {
            if is_links(&name) || name.starts_with(MAPS) {
                removed.extend(remove_folder(&self.root.join(name))?);
            }
        }
        // The filters have gone, and with them their marks.
        let _best_effort = fs::remove_dir(self.root.join(FILTERS));
        // Something that is not ours may be in it: then the folder stays.
        let _best_effort = fs::remove_dir(&self.root);
        Ok(removed)
    }
}

/// Why the pin folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    /// Another filter owns it.
    #[error("another filter holds `{}`: stop it first", .0.display())]
    Busy(PathBuf),
    /// A folder could not be made.
    #[error("cannot make the folder `{}`", path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A filter, which nothing that is pinned holds.
    #[error("cannot take the `clsact` filter off the interface of index {index}")]
    Filter {
        /// The interface's index.
        index: u32,
        /// Why.
        source: io::Error,
    },
    /// The folder could not be locked.
    #[error("cannot lock `{}`", path.display())]
    Lock {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Pins need a bpf file system.
    #[error(
        "`{}` is not on a bpf file system, so nothing can be pinned there: mount one with `mount -t bpf bpf /sys/fs/bpf`, or name a folder on one with `--pin-dir`",
        .0.display()
    )]
    NotBpf(PathBuf),
    /// A folder could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pin could not be removed.
    #[error("cannot remove `{}`", path.display())]
    Remove {
        /// The pin.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn require_bpf_file_system(path: &Path) -> Result<(), PinsError> {
    let existing = path.ancestors().find(|ancestor| ancestor.is_dir());
    let is_bpf = existing
        .and_then(|directory| statfs(directory).ok())
        .is_some_and(|statistics| statistics.filesystem_type() == BPF_FS_MAGIC);
    if is_bpf {
        Ok(())
    } else {
        Err(PinsError::NotBpf(path.to_owned()))
    }
}

fn lock(path: &Path) -> Result<Flock<File>, PinsError> {
    let failed = |source| PinsError::Lock {
        path: path.to_owned(),
        source,
    };
    let directory = File::open(path).map_err(failed)?;
    Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => PinsError::Busy(path.to_owned()),
        errno => failed(errno.into()),
    })
}

fn names(path: &Path) -> Result<Vec<String>, PinsError> {
    let failed = |source| PinsError::Read {
        path: path.to_owned(),
        source,
    };
    match fs::read_dir(path) {
        Ok(entries) => entries
            .map(|entry| {
                entry
                    .map(|entry| entry.file_name().to_string_lossy().into_owned())
                    .map_err(failed)
            })
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

fn remove_folder(path: &Path) -> Result<Vec<PathBuf>, PinsError> {
    let mut removed = Vec::new();
    for name in names(path)? {
        let pin = path.join(name);
        match fs::remove_file(&pin) {
            Ok(()) => removed.push(pin),
            Err(source) => return Err(PinsError::Remove { path: pin, source }),
        }
    }
    fs::remove_dir(path).map_err(|source| PinsError::Remove {
        path: path.to_owned(),
        source,
    })?;
    Ok(removed)
}

/// An interface's name as a file name: the bpf file system refuses dots (`eth0.100`), the kernel lets names have anything
/// but `/`, `:` and spaces.
fn escape(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2e")
}

fn unescape(name: &str) -> String {
    name.replace("%2e", ".").replace("%25", "%")
}

fn maps_folder(abi: u32) -> String {
    format!("{MAPS}{abi}")
}

const fn links_folder(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "links",
        Direction::Outbound => "links-outbound",
    }
}

const MAPS: &str = "maps-";

/// Folders, not pins: a pinned program would keep its tables in memory when the filter has long held another.
const FILTERS: &str = "filters-outbound";

#[cfg(test)]
mod tests {
    use super::{escape, unescape};

    #[test]
    fn every_interface_name_is_a_file_name_and_comes_back() {
        for name in ["eth0", "eth0.100", "a%2eb", "%", "..", "veth%25.7"] {
            assert!(!escape(name).contains('.'), "{name}");
            assert_eq!(unescape(&escape(name)), name);
        }
    }
}
