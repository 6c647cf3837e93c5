//! A network interface for packets to come in on, in the namespace of the thread that asks.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a bench stops when it cannot measure"
)]

use std::process::Command;

/// One end of a veth pair. Gone when dropped, and with its namespace.
#[derive(Debug)]
pub struct Device {
    name: String,
    index: u32,
}

impl Device {
    /// A fresh one; its other end is there too, and silent.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let peer = format!("{name}-peer");
        let words =
            format!("link add {name} type veth peer name {peer}\nlink set {name} up\nlink set {peer} up\n");
        for line in words.lines() {
            ip(line);
        }
        let index = nix::net::if_::if_nametoindex(name).expect("it was just made");
        Self {
            name: name.to_owned(),
            index,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        ip(&format!("link delete {}", self.name));
    }
}

fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output.expect("`ip` runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`ip {words}`: {said}");
}
