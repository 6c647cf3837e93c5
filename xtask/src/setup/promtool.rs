//! `promtool`, the judge of the metrics page.
//!
//! Debian has it in the package `prometheus`, whose installation would start a server on this machine. So the package is
//! fetched and the one program is taken out of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Lack, cannot, packages, relative, tools};
use crate::failure::Failure;
use crate::{machine, progress};

/// Puts `promtool` into the tools folder, unless the machine has one.
pub(crate) fn install() -> Result<(), Failure> {
    let bin = tools().join("bin");
    if machine::find_program("promtool", &bin).is_some() {
        return Ok(());
    }
    if machine::find_program("apt-get", &bin).is_none() {
        return Err(cannot(&[Lack {
            what: "promtool: it judges the metrics page in the tests".to_owned(),
            remedy: "install Prometheus's tools and put promtool into PATH".to_owned(),
        }]));
    }
    println!(
        "    will fetch Debian's package prometheus (20 MB) and take promtool out of it into {}; it is not installed, no service starts",
        relative(&bin)
    );
    let folder = tools().join("prometheus");
    let _ = fs::remove_dir_all(&folder);
    create(&folder)?;
    create(&bin)?;
    // The package lists may be absent, or older than the mirror.
    fetch(&folder).or_else(|_| packages::update().and_then(|()| fetch(&folder)))?;
    let package = the_package(&folder)?;
    unpack(&package, &folder)?;
    fs::rename(folder.join("usr/bin/promtool"), bin.join("promtool"))
        .map_err(|error| Failure::cannot(format!("no promtool in {}: {error}", package.display())))?;
    fs::remove_dir_all(&folder)
        .map_err(|error| Failure::cannot(format!("cannot remove {}: {error}", folder.display())))
}

fn fetch(folder: &Path) -> Result<(), Failure> {
    // Apt's own user, under which it downloads else, may not write here.
    let arguments = ["-q", "-o", "APT::Sandbox::User=root", "download", "prometheus"];
    progress::run(
        "fetch",
        Command::new("apt-get").args(arguments).current_dir(folder),
    )
}

fn create(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder)
        .map_err(|error| Failure::cannot(format!("cannot make {}: {error}", folder.display())))
}

fn the_package(folder: &Path) -> Result<PathBuf, Failure> {
    let files = fs::read_dir(folder)
        .map_err(|error| Failure::cannot(format!("cannot read {}: {error}", folder.display())))?;
    files
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| Failure::cannot("apt-get download prometheus left no package"))
}

fn unpack(package: &Path, folder: &Path) -> Result<(), Failure> {
    let unpacked = Command::new("dpkg-deb")
        .arg("--extract")
        .arg(package)
        .arg(folder)
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if unpacked {
        Ok(())
    } else {
        Err(Failure::cannot(format!("cannot unpack {}", package.display())))
    }
}
