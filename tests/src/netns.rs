//! Network namespaces and the veth pairs between them; all gone when dropped.
//!
//! Names come from the test's name and the checkout, so that tests and checkouts do not meet, and what a killed run left
//! behind is found and removed by the next. Nothing here touches the machine's own interfaces.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::home::tag;

/// A network namespace `rv-<tag>-<role>`, removed on drop together with the interfaces in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A fresh namespace with its loopback up. `role` tells the namespaces of one test apart: `client`, `edge`.
    #[must_use]
    #[track_caller]
    pub fn new(test: &str, role: &str) -> Self {
        let name = format!("rv-{}-{role}", tag(test));
        let namespace = Self { name };
        if namespace.path().exists() {
            // A run that was killed left it behind.
            ip(&["netns", "del", &namespace.name]);
        }
        ip(&["netns", "add", &namespace.name]);
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// The name `ip netns` knows it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for the namespace.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// A command that will run inside. By `nsenter`, as `ip netns exec` hides the bpf file system behind a new `/sys`.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Runs `ip` inside; panics with its words when it fails.
    #[track_caller]
    pub fn ip(&self, arguments: &[&str]) {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments);
        ip(&all);
    }

    /// Runs `work` on a thread inside the namespace and gives what it returns; sockets made there stay in the namespace
    /// also when they are used elsewhere later. A panic inside is a panic here.
    #[track_caller]
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| match self.enter_and(scope, work).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Like [`run`](Self::run), in the background until the scope ends.
    pub fn enter_and<'scope, T: Send + 'scope>(
        &self,
        scope: &'scope thread::Scope<'scope, '_>,
        work: impl FnOnce() -> T + Send + 'scope,
    ) -> thread::ScopedJoinHandle<'scope, T> {
        let path = self.path();
        scope.spawn(move || {
            let file = File::open(&path).unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
            setns(file, CloneFlags::CLONE_NEWNET)
                .unwrap_or_else(|error| panic!("enter {}: {error}", path.display()));
            work()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _best_effort = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// One end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Where the end lives.
    pub namespace: &'a Namespace,
    /// The interface's name there.
    pub interface: &'a str,
    /// Addresses with prefix lengths, both families: `10.0.0.1/24`, `fd00::1/64`.
    pub addresses: &'a [&'a str],
}

/// Joins two namespaces by a veth pair that is up at both ends, with addresses that are usable at once (no duplicate
/// address detection). It goes away with either namespace.
#[track_caller]
pub fn veth(left: End<'_>, right: End<'_>) {
    ip(&[
        "link",
        "add",
        "name",
        left.interface,
        "netns",
        left.namespace.name(),
        "type",
        "veth",
        "peer",
        "name",
        right.interface,
        "netns",
        right.namespace.name(),
    ]);
    for end in [left, right] {
        for address in end.addresses {
            let mut arguments = vec!["address", "add", address, "dev", end.interface];
            if address.contains(':') {
                arguments.push("nodad");
            }
            end.namespace.ip(&arguments);
        }
    }
    for end in [left, right] {
        end.namespace.ip(&["link", "set", "dev", end.interface, "up"]);
    }
}

/// Runs `ip`; panics with its words when it fails.
#[track_caller]
fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("`ip` does not run: {error}"));
    expect_success(&format!("ip {}", arguments.join(" ")), &output);
}

/// Panics with a command's words unless it succeeded.
#[track_caller]
pub fn expect_success(command: &str, output: &Output) {
    assert!(
        output.status.success(),
        "`{command}` ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
