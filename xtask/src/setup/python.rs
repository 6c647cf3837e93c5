//! The Python programs of the tests, in a virtual environment of their own: nothing of the machine's Python is touched.
//!
//! What is in it is written down in `tests/requirements.txt`, every version pinned; when that file changes, the environment is
//! made anew.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::packages::{self, Wanted};
use super::{Lack, cannot, relative, tools};
use crate::failure::Failure;
use crate::progress;
use crate::workspace;

/// Makes the environment, unless it is there as `tests/requirements.txt` wants it.
pub(crate) fn install() -> Result<(), Failure> {
    let list = workspace().join("tests/requirements.txt");
    let wanted = fs::read_to_string(&list)
        .map_err(|error| Failure::cannot(format!("cannot read {}: {error}", list.display())))?;
    let (folder, installed) = (folder(), folder().join("requirements.txt"));
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!(
        "    will make a Python environment in {} and fetch into it what tests/requirements.txt names",
        relative(&folder)
    );
    if !can_make_environments() {
        packages::install_packages(&[Wanted {
            package: "python3-venv".to_owned(),
            reason: "Python environments: scanners and hostile handshakes are Python programs".to_owned(),
        }])?;
    }
    // What is left of an older list must not stay.
    let _not_there = fs::remove_dir_all(&folder);
    progress::run(
        "Python environment",
        Command::new("python3").args(["-m", "venv"]).arg(&folder),
    )?;
    let fetched = progress::run(
        "Python packages",
        Command::new(folder.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(&list),
    );
    fetched.map_err(|failure| {
        println!("{failure}");
        cannot(&[Lack {
            what: "the Python packages of tests/requirements.txt: a scanner, and handshakes that nobody should make".to_owned(),
            remedy: format!(
                "let `pip` reach a package index, then: {}/bin/python -m pip install --requirement tests/requirements.txt",
                relative(&folder)
            ),
        }])
    })?;
    // Last: an environment that is half made is not taken for a whole one.
    fs::write(&installed, wanted)
        .map_err(|error| Failure::cannot(format!("cannot write {}: {error}", installed.display())))
}

fn folder() -> PathBuf {
    tools().join("python")
}

fn can_make_environments() -> bool {
    progress::output_of(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_some()
}
