//! What a test needs of the machine, and the loud skip when it is not there.
//!
//! `requires!(Root, NetworkNamespaces)` as a test's first statement runs the rest, or prints a named skip and returns. With
//! `RAVELIN_STRICT=1`, as in CI, a skip is a failure: a suite that silently did not run proves nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use aya::maps::MapType;
use nix::unistd::geteuid;

/// One thing a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The kernel lets this process create maps and load programs.
    Bpf,
    /// `ip netns` works.
    NetworkNamespaces,
    /// User id 0.
    Root,
    /// A module in the tests' own Python environment (`tests/requirements.txt`).
    PythonModule(&'static str),
    /// A program in `PATH`.
    Tool(&'static str),
}

/// Returns from the test, loudly, unless the machine has every [`Need`] named.
#[macro_export]
macro_rules! requires {
    ($($need:ident $(($what:expr))?),+ $(,)?) => {
        if !$crate::requires::met(&[$($crate::requires::Need::$need $(($what))?),+]) {
            return;
        }
    };
}

/// Whether the machine has everything in `needs`. Prints what is missing; panics instead in strict mode.
#[track_caller]
pub fn met(needs: &[Need]) -> bool {
    let Some(reason) = needs.iter().find_map(|need| need.missing()) else {
        return true;
    };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(
        !strict(),
        "{test} must not be skipped (RAVELIN_STRICT is set), but {reason}"
    );
    // Straight to the descriptor: the test runner swallows what `eprintln!` prints in a test that passes.
    let _closed = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    false
}

/// Whether a skip is a failure: `RAVELIN_STRICT` is set and not `0`.
#[must_use]
pub fn strict() -> bool {
    std::env::var_os("RAVELIN_STRICT").is_some_and(|value| value != "0" && !value.is_empty())
}

impl Need {
    /// Why this machine does not have it; `None` when it does. Probed once a process.
    #[must_use]
    pub fn missing(self) -> Option<String> {
        static BPF: OnceLock<Option<String>> = OnceLock::new();
        static NETWORK_NAMESPACES: OnceLock<Option<String>> = OnceLock::new();
        match self {
            Self::Root => (!geteuid().is_root()).then(|| "it needs root".to_owned()),
            Self::Tool(name) => tool(name)
                .is_none()
                .then(|| format!("the program `{name}` is not installed")),
            Self::PythonModule(name) => (!python_has(name))
                .then(|| format!("there is no Python module `{name}`: `cargo xtask setup` installs it")),
            Self::Bpf => BPF.get_or_init(bpf).clone(),
            Self::NetworkNamespaces => NETWORK_NAMESPACES.get_or_init(network_namespaces).clone(),
        }
    }
}

fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// The interpreter of the tests' own Python environment.
#[must_use]
pub fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/python/bin/python")
}

fn python_has(module: &str) -> bool {
    let import = Command::new(python())
        .args(["-c", &format!("import {module}")])
        .stdin(Stdio::null())
        .output();
    import.is_ok_and(|output| output.status.success())
}

fn bpf() -> Option<String> {
    match aya::sys::is_map_supported(MapType::PerCpuArray) {
        Ok(true) => None,
        Ok(false) => Some("this kernel has no per-CPU array maps".to_owned()),
        Err(error) => Some(format!("the kernel does not let it use BPF: {error}")),
    }
}

fn network_namespaces() -> Option<String> {
    for name in ["ip", "nsenter"] {
        if tool(name).is_none() {
            return Some(format!("the program `{name}` is not installed"));
        }
    }
    let name = format!("rv-probe-{}", std::process::id());
    let ip = |verb: &str| {
        Command::new("ip")
            .args(["netns", verb, &name])
            .stdin(Stdio::null())
            .output()
    };
    match ip("add") {
        Ok(output) if output.status.success() => {
            let _best_effort = ip("del");
            None
        }
        Ok(output) => Some(format!(
            "network namespaces do not work: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!("`ip` does not run: {error}")),
    }
}
