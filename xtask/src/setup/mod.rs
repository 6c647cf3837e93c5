//! Brings the machine to where the demo and the tests work.
//!
//! Probe → **plan, announce, carry out** → demo, tests. Looks first and installs only what is not there, so that a second
//! run costs nothing; where it may not install, it says what to install. Order: the machine itself (kernel, rights), then
//! packages, then the eBPF toolchain, then tools, then mounts.

mod ebpf;
mod host;
mod packages;
mod promtool;
mod python;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ravelin_ebpf_build::TOOLS_FOLDER;

use crate::failure::Failure;
use crate::progress;
use crate::workspace;

/// What the machine is set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To measure, beside what others do.
    Bench,
    /// To compile: the eBPF toolchain alone. Needs no rights when the toolchain is there.
    Build,
    /// To run the demo.
    Demo,
    /// To run the tests.
    Test,
    /// All of it.
    Everything,
}

impl Purpose {
    fn runs_tests(self) -> bool {
        matches!(self, Self::Test | Self::Everything)
    }

    fn runs_benches(self) -> bool {
        matches!(self, Self::Bench)
    }

    /// Whether kernel programs are loaded and namespaces made.
    fn needs_root(self) -> bool {
        self != Self::Build
    }
}

/// Something that is not there and cannot be put there by this process.
pub(crate) struct Lack {
    /// What, and what it is for.
    pub(crate) what: String,
    /// What a person does about it.
    pub(crate) remedy: String,
}

/// Does the set-up for `purpose`.
pub(crate) fn run(purpose: Purpose, _arguments: ()) -> Result<(), Failure> {
    let started = Instant::now();
    progress::heading("set-up");
    let mut lacks = host::lacks(purpose);
    if !lacks.is_empty() {
        // One complete list is worth more than the first item of several.
        lacks.extend(packages::lacks(purpose));
        lacks.extend(ebpf::lacks());
        return Err(cannot(&lacks));
    }
    packages::install(purpose)?;
    ebpf::install()?;
    if purpose.runs_tests() {
        promtool::install()?;
        python::install()?;
    }
    if purpose.needs_root() {
        host::mount_bpf_file_system()?;
        host::check_namespaces()?;
    }
    println!(
        "    everything is in place ({})",
        progress::human(started.elapsed())
    );
    Ok(())
}

/// Where tools that the project builds or fetches for itself are kept.
pub(crate) fn tools() -> PathBuf {
    workspace().join(TOOLS_FOLDER)
}

/// `PATH` with the project's own tools in front, for the programs that tests and the demo start.
pub(crate) fn path_with_tools() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let folders = std::iter::once(tools().join("bin"))
        .chain(env::split_paths(&path))
        .chain(system);
    env::join_paths(folders).unwrap_or(path)
}

/// The failure that lists what is missing.
pub(crate) fn cannot(lacks: &[Lack]) -> Failure {
    let mut text = "this machine cannot be set up from here; missing:\n".to_owned();
    for lack in lacks {
        text.push_str(&format!(
            "\n  - {}\n    help: {}\n",
            lack.what,
            lack.remedy.replace('\n', "\n          ")
        ));
    }
    Failure::cannot(text)
}

/// `path` below the workspace, as one would type it there.
fn relative(path: &Path) -> String {
    path.strip_prefix(workspace())
        .unwrap_or(path)
        .display()
        .to_string()
}
