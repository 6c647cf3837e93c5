//! HAProxy in front of something, as the one who writes PROXY headers.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use crate::home::Home;

/// A running HAProxy. Ended on drop.
#[derive(Debug)]
pub struct HaProxy {
    child: Child,
    address: SocketAddr,
}

impl HaProxy {
    /// Relays to `to`, with `options` on its server line: `send-proxy`.
    #[must_use]
    #[track_caller]
    pub fn new(home: &Home, name: &str, to: SocketAddr, options: &str) -> Self {
        // Made here and handed on as its standard input (which it would close with `-q`), so that there is no port to guess and no start to wait for.
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("an address");
        let file = format!("{name}.cfg");
        home.write(
            &file,
            &format!(
                "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 20s\n  timeout client 20s\n  timeout server 20s\n\
                 listen front\n  bind fd@0\n  server edge {to} {options}\n"
            ),
        );
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(home.directory().join(&file))
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("`haproxy` does not run: {error}"));
        Self { child, address }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _gone = self.child.wait();
    }
}
