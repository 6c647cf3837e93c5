//! What may be linked into what: `deny.toml` says the same to those who have cargo-deny.

use crate::assert_none;
use crate::metadata::{Metadata, linked_into};

/// A package that must not be linked into a crate, and why.
struct Ban {
    /// The crate; `*` is every crate.
    into: &'static str,
    package: &'static str,
    why: &'static str,
}

const BANS: &[Ban] = &[
    ban("*", "openssl", "one TLS stack: rustls"),
    ban("*", "openssl-sys", "one TLS stack: rustls"),
    ban("*", "native-tls", "one TLS stack: rustls"),
    ban("*", "boring", "one TLS stack: rustls"),
    ban("*", "ring", "one crypto library: aws-lc-rs"),
    ban("*", "async-std", "one async runtime: tokio"),
    ban("*", "smol", "one async runtime: tokio"),
    ban(
        "*",
        "rustls-pemfile",
        "unmaintained (RUSTSEC-2025-0134): rustls-pki-types reads PEM",
    ),
    ban("*", "serde_yaml", "one configuration language: TOML"),
    ban("ravelin-rules", "aya", "the compiler knows no kernel"),
    ban("ravelin-rules", "tokio", "the compiler knows no runtime"),
    ban("ravelin-rules", "mio", "the compiler knows no sockets"),
    ban("ravelin-rules", "socket2", "the compiler knows no sockets"),
    ban("ravelin-rules", "nix", "the compiler knows no operating system"),
    ban("ravelin-rules", "rustls", "the compiler knows no TLS"),
    ban(
        "xtask",
        "serde",
        "what a stranger compiles first uses the standard library only",
    ),
];

/// Packages that must be there in one version: two TLS stacks or runtimes of the same name are two all the same.
const ONCE: [&str; 5] = ["aws-lc-rs", "aya", "hyper", "rustls", "tokio"];

fn complaints(member: &str, linked: &[String]) -> Vec<String> {
    BANS.iter()
        .filter(|ban| ban.into == "*" || ban.into == member)
        .filter(|ban| linked.iter().any(|name| name == ban.package))
        .map(|ban| format!("`{member}` links `{}`: {}", ban.package, ban.why))
        .collect()
}

#[test]
fn nothing_banned_is_linked() {
    let metadata = Metadata::of_workspace();
    for member in metadata.members() {
        assert_none(&complaints(&member.name, &linked_into(&member.name)));
    }
    // The question is really asked: what is meant to be there is found, through other packages too.
    assert!(linked_into("ravelin-daemon").contains(&"rustls-webpki".to_owned()));
    assert!(linked_into("ravelin-rules").contains(&"toml".to_owned()));
}

#[test]
fn a_ban_is_found() {
    let linked = ["toml", "tokio"].map(str::to_owned);
    assert_eq!(
        complaints("ravelin-rules", &linked),
        ["`ravelin-rules` links `tokio`: the compiler knows no runtime"]
    );
    assert_none(&complaints("ravelin-daemon", &linked));
    let linked = ["openssl".to_owned()];
    assert_eq!(
        complaints("ravelin-daemon", &linked),
        ["`ravelin-daemon` links `openssl`: one TLS stack: rustls"]
    );
}

#[test]
fn what_must_be_one_is_there_in_one_version() {
    let metadata = Metadata::of_workspace();
    for name in ONCE {
        let versions = metadata
            .packages
            .iter()
            .filter(|package| package.name == name)
            .count();
        assert_eq!(versions, 1, "`{name}` is there in {versions} versions");
    }
}

#[test]
fn every_crate_says_its_licence_and_what_is_linked_is_free() {
    let metadata = Metadata::of_workspace();
    let mut complaints = Vec::new();
    for package in &metadata.packages {
        let words = package.license.clone().unwrap_or_default();
        if !FREE.iter().any(|licence| words.contains(licence)) {
            complaints.push(format!(
                "`{}` is under `{words}`, which deny.toml does not list",
                package.name
            ));
        }
    }
    assert_none(&complaints);
}

/// One of these must be offered. Copyleft would bind the binary.
const FREE: [&str; 9] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

const fn ban(into: &'static str, package: &'static str, why: &'static str) -> Ban {
    Ban { into, package, why }
}
