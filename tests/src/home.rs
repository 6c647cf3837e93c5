//! A folder for one daemon under test: policy, socket, state, log, and a bpf file system of its own for the pins.
//!
//! The pins live on their own mount, so taking the mount away takes every pin, link and map of the test out of the kernel.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;
use ravelin_daemon::control::peer::edge_user;

/// `/tmp/rv-<tag>`, emptied when made and removed on drop.
#[derive(Debug)]
pub struct Home {
    directory: PathBuf,
}

impl Home {
    /// A fresh folder for `test`. What a killed run left there is removed first.
    #[must_use]
    #[track_caller]
    pub fn new(test: &str) -> Self {
        let home = Self {
            directory: std::env::temp_dir().join(format!("rv-{}", tag(test))),
        };
        home.clear();
        for directory in [&home.directory, &home.pins(), &home.state()] {
            fs::create_dir_all(directory)
                .unwrap_or_else(|error| panic!("create {}: {error}", directory.display()));
        }
        home
    }

    /// The folder.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The main policy file.
    #[must_use]
    pub fn policy(&self) -> PathBuf {
        self.directory.join("ravelin.toml")
    }

    /// The control socket of `ravelin filter`.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// The control socket of `ravelin edge`.
    #[must_use]
    pub fn edge_socket(&self) -> PathBuf {
        self.directory.join("edge.sock")
    }

    /// Where pins go; a bpf file system after [`mount_pins`](Self::mount_pins).
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.directory.join("pins")
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// What the daemon wrote to standard error, all its lives one after the other.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Mounts a bpf file system for the pins. Needs root.
    #[track_caller]
    pub fn mount_pins(&self) {
        let output = Command::new("mount")
            .args(["-t", "bpf", "bpf"])
            .arg(self.pins())
            .output()
            .unwrap_or_else(|error| panic!("`mount` does not run: {error}"));
        crate::netns::expect_success("mount -t bpf", &output);
    }

    /// Writes a file below the folder, in one step: a reader sees the old text or the new, never half of it. A private key (`*.key`) is
    /// readable for the edge's user alone.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) {
        self.write_bytes(name, text.as_bytes());
    }

    /// The same for what is no text.
    #[track_caller]
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) {
        write_below(&self.directory, name, bytes);
    }

    fn clear(&self) {
        // Mounted twice or not at all: unmount until there is nothing left to unmount.
        while Command::new("umount")
            .arg("--lazy")
            .arg(self.pins())
            .output()
            .is_ok_and(|output| output.status.success())
        {}
        let _not_there = fs::remove_dir_all(&self.directory);
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.clear();
    }
}

/// As [`Home::write`], below any folder.
#[track_caller]
pub fn write_below(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    let beside = folder.join(format!(".{}.new", name.replace('/', "-")));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).unwrap_or_else(|error| panic!("create {}: {error}", parent.display()));
    }
    fs::write(&beside, bytes).unwrap_or_else(|error| panic!("write {}: {error}", beside.display()));
    if path.extension().is_some_and(|extension| extension == "key") {
        keep_for_the_edge(&beside);
    }
    fs::rename(&beside, &path).unwrap_or_else(|error| panic!("rename to {}: {error}", path.display()));
}

#[track_caller]
fn keep_for_the_edge(key: &Path) {
    let protected = || {
        fs::set_permissions(key, fs::Permissions::from_mode(0o600))?;
        match edge_user().filter(|_| geteuid().is_root()) {
            Some(user) => chown(key, Some(user.uid.as_raw()), Some(user.gid.as_raw())),
            None => Ok(()),
        }
    };
    protected().unwrap_or_else(|error| panic!("protect {}: {error}", key.display()));
}

/// A short name for a test, different in each checkout: `reload-loses-nothing` → `reload-loses-nothing-3fa2`.
///
/// Short enough for a socket path (108 bytes) and unique enough for two checkouts that test at the same time.
#[must_use]
pub fn tag(test: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (env!("CARGO_MANIFEST_DIR"), test).hash(&mut hasher);
    let readable: String = test
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(24)
        .collect();
    format!("{readable}-{:04x}", hasher.finish() & 0xffff)
}
