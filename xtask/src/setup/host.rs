//! What no package can bring: rights, the kernel, mounts.

use std::env;
use std::process::Command;

use super::{Lack, Purpose, cannot};
use crate::failure::Failure;
use crate::machine;
use crate::progress;

/// What this machine lacks for `purpose` that no installation mends.
pub(crate) fn lacks(purpose: Purpose) -> Vec<Lack> {
    let mut lacks = Vec::new();
    if cfg!(not(target_os = "linux")) {
        lacks.push(lack(
            "Linux: packets are judged in its kernel",
            "use a Linux machine or a virtual one",
        ));
        return lacks;
    }
    if !purpose.needs_root() {
        return lacks;
    }
    if !machine::is_root() {
        lacks.push(lack(
            "root: namespaces are made and kernel programs are loaded",
            &format!("run `{}`", as_root()),
        ));
        return lacks;
    }
    for capability in machine::CAPABILITIES
        .into_iter()
        .filter(|capability| !machine::has(*capability))
    {
        lacks.push(lack(
            &format!("{}: root here does not hold it (a container?)", capability.1),
            "run on the host or a virtual machine, or give the container that capability",
        ));
    }
    if machine::kernel().is_some_and(|version| version < OLDEST_KERNEL) {
        let (major, minor) = OLDEST_KERNEL;
        lacks.push(lack(
            &format!("Linux {major}.{minor} or later: XDP on multi-buffer frames, links replaced atomically"),
            "Debian 12 and later have it; boot a newer kernel",
        ));
    }
    if !machine::has_bpf() {
        lacks.push(lack(
            "a kernel with the bpf system call",
            "boot a kernel with CONFIG_BPF_SYSCALL=y, as Debian's has",
        ));
    }
    lacks
}

/// Mounts the BPF file system if it is not.
pub(crate) fn mount_bpf_file_system() -> Result<(), Failure> {
    let place = machine::BPF_FILE_SYSTEM;
    if machine::bpf_file_system_is_mounted() {
        return Ok(());
    }
    println!("    will mount the BPF file system at {place}: pinned links and maps live there");
    progress::run("mount", Command::new("mount").args(["-t", "bpf", "bpf", place]))
}

/// Makes sure that namespaces and veth pairs can be made: the demo and the tests put every packet there.
pub(crate) fn check_namespaces() -> Result<(), Failure> {
    machine::try_namespaces().map_err(|words| {
        cannot(&[lack(
            &format!("network namespaces with veth pairs; {words}"),
            "boot a kernel with CONFIG_NET_NS and CONFIG_VETH, and do not run in a restricted container or a plain chroot",
        )])
    })
}

fn as_root() -> String {
    let arguments: Vec<String> = env::args().skip(1).collect();
    format!("sudo -E env \"PATH=$PATH\" cargo xtask {}", arguments.join(" "))
}

fn lack(what: &str, remedy: &str) -> Lack {
    Lack {
        what: what.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// XDP programs that read multi-buffer frames (`xdp.frags`, `bpf_xdp_get_buff_len`) came with 5.18; links that are replaced
/// atomically (5.9), CAP_BPF (5.8) and the rest are older. Tried on 6.18.
const OLDEST_KERNEL: (u32, u32) = (5, 18);
