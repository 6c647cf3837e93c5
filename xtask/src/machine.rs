//! What this machine is and has, found out without changing it.
//!
//! **Probes** → `setup` (decides what to install). Knows nothing of what is needed for what.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::progress::output_of;

/// Where Debian mounts the BPF file system, and where pins live.
pub(crate) const BPF_FILE_SYSTEM: &str = "/sys/fs/bpf";

/// A Linux capability by its number in `capability.h`.
#[derive(Clone, Copy)]
pub(crate) struct Capability(pub(crate) u32, pub(crate) &'static str);

/// What making namespaces and loading programs asks for.
pub(crate) const CAPABILITIES: [Capability; 3] = [
    Capability(12, "CAP_NET_ADMIN"),
    Capability(21, "CAP_SYS_ADMIN"),
    Capability(39, "CAP_BPF"),
];

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    status_field("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
}

/// Whether this process holds `capability`. Root in a container often does not.
pub(crate) fn has(capability: Capability) -> bool {
    let effective = status_field("CapEff:").and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|bits| bits & (1 << capability.0) != 0)
}

/// The kernel's version, major and minor.
pub(crate) fn kernel() -> Option<(u32, u32)> {
    parse_kernel(&fs::read_to_string("/proc/sys/kernel/osrelease").ok()?)
}

/// Whether the kernel was built with the bpf system call.
pub(crate) fn has_bpf() -> bool {
    Path::new("/proc/sys/kernel/unprivileged_bpf_disabled").exists()
}

/// Whether the BPF file system is mounted where pins go.
pub(crate) fn bpf_file_system_is_mounted() -> bool {
    fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| {
        mounts.lines().any(|line| {
            let mut fields = line.split(' ').skip(1);
            fields.next() == Some(BPF_FILE_SYSTEM) && fields.next() == Some("bpf")
        })
    })
}

/// Makes a network namespace with a veth pair in it and removes it; the error is what `ip` says.
pub(crate) fn try_namespaces() -> Result<(), String> {
    let name = format!("ravelin-probe-{}", std::process::id());
    let ip = |arguments: &[&str]| {
        let output = Command::new("ip")
            .args(arguments)
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("`ip {}`: {words}", arguments.join(" ")))
    };
    ip(&["netns", "add", &name])?;
    let linked = ip(&[
        "-n", &name, "link", "add", "rv0", "type", "veth", "peer", "name", "rv1",
    ]);
    ip(&["netns", "delete", &name]).and(linked)
}

/// Where `program` is found: the given folders first, then `PATH` and the folders of system programs.
pub(crate) fn find_program(program: &str, first: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(first.to_path_buf())
        .chain(env::split_paths(&path))
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Whether Debian's package is installed.
pub(crate) fn has_package(package: &str) -> bool {
    output_of(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]))
        .is_some_and(|status| status == "installed")
}

/// Whether apt knows a version of the package that it could install.
pub(crate) fn apt_offers(package: &str) -> bool {
    output_of(
        Command::new("apt-cache")
            .args(["policy", package])
            .env("LC_ALL", "C"),
    )
    .is_some_and(|policy| policy.contains("Candidate:") && !policy.contains("Candidate: (none)"))
}

/// The LLVM major version that `linker` was linked against; nothing when that cannot be seen.
pub(crate) fn linked_llvm(linker: &Path) -> Option<u32> {
    parse_linked_llvm(&output_of(Command::new("ldd").arg(linker))?)
}

fn status_field(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::to_owned)
}

fn parse_kernel(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn parse_linked_llvm(libraries: &str) -> Option<u32> {
    // `libLLVM.so.22.1 => …` since LLVM 18, `libLLVM-17.so.1 => …` before.
    let rest = libraries
        .split("libLLVM")
        .nth(1)?
        .trim_start_matches(".so.")
        .trim_start_matches('-');
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_of_every_style_are_read() {
        assert_eq!(parse_kernel("6.1.0-44-amd64\n"), Some((6, 1)));
        assert_eq!(parse_kernel("5.15.167.4-microsoft-standard-WSL2"), Some((5, 15)));
        assert_eq!(parse_kernel("rolling"), None);
    }

    #[test]
    fn the_llvm_of_a_linker_is_read_from_its_libraries() {
        assert_eq!(
            parse_linked_llvm("\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1"),
            Some(22)
        );
        assert_eq!(
            parse_linked_llvm("\tlibLLVM-17.so.1 => /usr/lib/libLLVM-17.so.1"),
            Some(17)
        );
        assert_eq!(parse_linked_llvm("\tlibc.so.6 => /lib/libc.so.6"), None);
    }
}
