//! Debian packages: which are needed for what, and their installation.

use std::process::Command;
use std::sync::OnceLock;

use super::{Lack, Purpose, cannot, tools};
use crate::failure::Failure;
use crate::{machine, progress};

/// A program that is called, and the Debian package that brings it.
struct Need {
    program: &'static str,
    package: &'static str,
    /// Why, as said before it is installed.
    reason: &'static str,
    /// Whether this purpose needs it.
    by: fn(Purpose) -> bool,
}

/// A package to install, with the reason that is shown.
pub(crate) struct Wanted {
    pub(crate) package: String,
    pub(crate) reason: String,
}

/// Installs the packages that `purpose` needs and the machine lacks.
pub(crate) fn install(purpose: Purpose) -> Result<(), Failure> {
    let wanted: Vec<Wanted> = missing(purpose).map(Need::wanted).collect();
    install_packages(&wanted)
}

/// The same, only told.
pub(crate) fn lacks(purpose: Purpose) -> Vec<Lack> {
    let wanted: Vec<Wanted> = missing(purpose).map(Need::wanted).collect();
    if wanted.is_empty() {
        Vec::new()
    } else {
        lacks_of(&wanted)
    }
}

/// Installs packages: says which and why, then calls apt-get. Nothing that is installed is removed or upgraded for them.
pub(crate) fn install_packages(wanted: &[Wanted]) -> Result<(), Failure> {
    if wanted.is_empty() {
        return Ok(());
    }
    if !machine::is_root() || machine::find_program("apt-get", &tools()).is_none() {
        return Err(cannot(&lacks_of(wanted)));
    }
    println!("    will install these Debian packages:");
    for Wanted { package, reason } in wanted {
        println!("      {package:<18} {reason}");
    }
    update()?;
    let unknown: Vec<&str> = wanted
        .iter()
        .map(|wanted| &*wanted.package)
        .filter(|package| !machine::apt_offers(package))
        .collect();
    if !unknown.is_empty() {
        return Err(Failure::cannot(format!(
            "apt knows no package {}\nhelp: add the Debian repository that has it (on Debian 12: `main`, `{SECURITY}`), then try again",
            unknown.join(", ")
        )));
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends", "--no-remove"];
    arguments.extend(wanted.iter().map(|wanted| &*wanted.package));
    apt("installation", &arguments)
}

/// Brings the package lists up to date, once.
pub(crate) fn update() -> Result<(), Failure> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_none() {
        apt("package lists", &["update"])?;
        DONE.get_or_init(|| ());
    }
    Ok(())
}

impl Need {
    fn wanted(&self) -> Wanted {
        Wanted {
            package: self.package.to_owned(),
            reason: self.reason.to_owned(),
        }
    }
}

fn missing(purpose: Purpose) -> impl Iterator<Item = &'static Need> {
    NEEDS.iter().filter(move |need| {
        (need.by)(purpose) && machine::find_program(need.program, &tools().join("bin")).is_none()
    })
}

fn lacks_of(wanted: &[Wanted]) -> Vec<Lack> {
    let packages: Vec<&str> = wanted.iter().map(|wanted| &*wanted.package).collect();
    let reasons: Vec<String> = wanted
        .iter()
        .map(|wanted| format!("\n      {:<18} {}", wanted.package, wanted.reason))
        .collect();
    vec![Lack {
        what: format!(
            "Debian packages, or what your distribution calls them:{}",
            reasons.concat()
        ),
        remedy: format!(
            "as root: apt-get update && apt-get install --no-install-recommends {}",
            packages.join(" ")
        ),
    }]
}

fn apt(what: &str, arguments: &[&str]) -> Result<(), Failure> {
    progress::run(
        what,
        Command::new("apt-get")
            .arg("-q")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

const NEEDS: [Need; 17] = [
    Need {
        program: "ip",
        package: "iproute2",
        reason: "`ip netns` and `ip link`: hosts and wires for the demo and the tests",
        by: Purpose::needs_root,
    },
    Need {
        program: "mount",
        package: "mount",
        reason: "to mount the BPF file system",
        by: Purpose::needs_root,
    },
    Need {
        program: "curl",
        package: "curl",
        reason: "TLS requests through the edge, and reading the metrics",
        by: |purpose| purpose != Purpose::Build,
    },
    Need {
        program: "openssl",
        package: "openssl",
        reason: "a TLS client that shares no code with the edge",
        by: Purpose::runs_tests,
    },
    Need {
        program: "haproxy",
        package: "haproxy",
        reason: "the PROXY protocol by the people who wrote it down, and another TLS proxy that gets the same connections",
        by: |purpose| purpose.runs_tests() || purpose.runs_benches(),
    },
    Need {
        program: "c++",
        package: "g++",
        reason: "a C++ compiler: the fuzzer that the readers run under is written in it",
        by: Purpose::runs_tests,
    },
    Need {
        program: "nmap",
        package: "nmap",
        reason: "scans of a filtered host, by somebody else's packets",
        by: Purpose::runs_tests,
    },
    Need {
        program: "nft",
        package: "nftables",
        reason: "another firewall, which is sent the same frames",
        by: Purpose::runs_tests,
    },
    Need {
        program: "hitch",
        package: "hitch",
        reason: "another TLS proxy, which gets the same connections",
        by: Purpose::runs_benches,
    },
    Need {
        program: "nginx",
        package: "nginx-full",
        reason: "another TLS proxy (its stream module), which gets the same connections",
        by: Purpose::runs_benches,
    },
    Need {
        program: "valgrind",
        package: "valgrind",
        reason: "counts the instructions of a connection",
        by: Purpose::runs_benches,
    },
    Need {
        program: "sslscan",
        package: "sslscan",
        reason: "a TLS scanner, for versions and ciphers that must not be there",
        by: Purpose::runs_tests,
    },
    Need {
        program: "testssl",
        package: "testssl.sh",
        reason: "a TLS scanner that tries the known attacks",
        by: Purpose::runs_tests,
    },
    Need {
        program: "gnutls-cli",
        package: "gnutls-bin",
        reason: "GnuTLS as a client of the edge",
        by: Purpose::runs_tests,
    },
    Need {
        program: "tstclnt",
        package: "libnss3-tools",
        reason: "NSS, Firefox's TLS, as a client of the edge",
        by: Purpose::runs_tests,
    },
    Need {
        program: "chromium",
        package: "chromium",
        reason: "a browser as a client of the edge (100 MB to fetch): it speaks the post-quantum key exchange and, unlike its headless shell, shows a certificate",
        by: Purpose::runs_tests,
    },
    Need {
        program: "systemd-analyze",
        package: "systemd",
        reason: "`systemd-analyze security` measures the units' sandbox; it is not started",
        by: Purpose::runs_tests,
    },
];

const SECURITY: &str = "bookworm-security main";
