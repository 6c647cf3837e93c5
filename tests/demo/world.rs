//! Six network namespaces and their wires, a policy, certificates, and what the edge host serves.
//!
//! ```text
//! office   198.51.100.10  2001:db8:100::10 ─┐
//! stranger 203.0.113.10   2001:db8:200::10 ─┼─ internet ── wan0 edge 192.0.2.1  2001:db8::1
//! attacker 203.0.113.130  2001:db8:300::10 ─┘                   lan0 10.0.0.1 ── backend 10.0.0.2
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use nix::sys::socket::{setsockopt, sockopt};
use ravelin_tests::daemon::{Daemon, Half, binary};
use ravelin_tests::netns::{End, Namespace, veth};
use ravelin_tests::pki::Authority;

use crate::backend;
use crate::screen;

/// Everything the acts work with. Dropped, it is gone.
pub(crate) struct World {
    /// First: the daemon ends before the namespaces it lives in.
    pub(crate) daemon: Daemon,
    pub(crate) office: Namespace,
    pub(crate) stranger: Namespace,
    pub(crate) attacker: Namespace,
    pub(crate) edge: Namespace,
    _internet: Namespace,
    _backend: Namespace,
    /// Where the edge host receives telemetry.
    pub(crate) telemetry: UdpSocket,
}

/// The edge host, on the wire to the internet.
pub(crate) const EDGE_V4: &str = "192.0.2.1";
pub(crate) const EDGE_V6: &str = "2001:db8::1";
pub(crate) const STRANGER_V4: &str = "203.0.113.10";
pub(crate) const STRANGER_V6: &str = "2001:db8:200::10";
pub(crate) const TELEMETRY_PORT: u16 = 5140;
/// The limits of the listener, as the policy has them.
pub(crate) const RATE: f64 = 5.0;
pub(crate) const BURST: f64 = 20.0;

impl World {
    /// Makes all of it; nothing is filtered yet.
    pub(crate) fn make() -> Self {
        println!(
            "{}",
            screen::bold("Ravelin: one policy, from the first packet to the last metric")
        );
        screen::note("making six hosts in network namespaces; the machine's own interfaces are not touched");
        for role in ["office", "stranger", "attacker", "internet", "edge", "backend"] {
            end_leftovers(role);
        }
        let [office, stranger, attacker, internet, edge, backend] =
            ["office", "stranger", "attacker", "internet", "edge", "backend"]
                .map(|role| Namespace::new(NAME, role));
        wire(
            &office,
            &internet,
            "office0",
            ["198.51.100.10/24", "2001:db8:100::10/64"],
            ["198.51.100.1/24", "2001:db8:100::1/64"],
        );
        wire(
            &stranger,
            &internet,
            "strange0",
            ["203.0.113.10/25", "2001:db8:200::10/64"],
            ["203.0.113.1/25", "2001:db8:200::1/64"],
        );
        wire(
            &attacker,
            &internet,
            "attack0",
            ["203.0.113.130/25", "2001:db8:300::10/64"],
            ["203.0.113.129/25", "2001:db8:300::1/64"],
        );
        wire(
            &edge,
            &internet,
            "wan0",
            ["192.0.2.1/24", "2001:db8::1/64"],
            ["192.0.2.254/24", "2001:db8::fe/64"],
        );
        veth(
            End {
                namespace: &edge,
                interface: "lan0",
                addresses: &["10.0.0.1/24"],
            },
            End {
                namespace: &backend,
                interface: "eth0",
                addresses: &["10.0.0.2/24"],
            },
        );
        set(&internet, "ipv4/ip_forward", "1");
        set(&internet, "ipv6/conf/all/forwarding", "1");

        let daemon = Daemon::new(NAME, Half::Both, &policy(&["@office"])).inside(&edge);
        let authority = Authority::new();
        let pair = authority.issue(&["www.example.com"]);
        for (name, text) in [
            ("ca.pem", &authority.pem()),
            ("www.pem", &pair.cert),
            ("www.key", &pair.key),
        ] {
            daemon.home().write(name, text);
        }
        backend::serve(backend.run(|| TcpListener::bind("10.0.0.2:8080").expect("bind the backend")));
        for address in ["0.0.0.0:22", "[2001:db8::1]:22"] {
            greet(edge.run(|| TcpListener::bind(address).expect("bind ssh")));
        }
        let telemetry = edge.run(|| UdpSocket::bind((EDGE_V4, TELEMETRY_PORT)).expect("bind telemetry"));
        // Room for every packet of the stream: what is lost is then lost before the socket.
        setsockopt(&telemetry, sockopt::RcvBufForce, &(32 << 20)).expect("a receive buffer");
        Self {
            daemon,
            office,
            stranger,
            attacker,
            edge,
            _internet: internet,
            _backend: backend,
            telemetry,
        }
    }

    /// A file of the edge host's configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.daemon.home().directory().join(name)
    }

    /// Runs `ravelin` without a daemon, and shows it.
    pub(crate) fn ravelin(&self, words: &str) -> Output {
        screen::command("edge", &format!("ravelin {words}"));
        let output = Command::new(binary())
            .args(words.split(' '))
            .current_dir(self.daemon.home().directory())
            .output()
            .expect("ravelin starts");
        screen::output(&text(&output));
        output
    }
}

/// The policy, with these sources for ssh.
pub(crate) fn policy(ssh: &[&str]) -> String {
    let sources: Vec<String> = ssh.iter().map(|source| format!("\"{source}\"")).collect();
    include_str!("policy.toml").replace("[\"@office\"]", &format!("[{}]", sources.join(", ")))
}

/// What a command printed, both ways.
pub(crate) fn text(output: &Output) -> String {
    [
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    ]
    .concat()
}

/// Held while the demo runs: a second one would take the first one's world away. The lock is on the program itself, so that
/// no file is left behind.
pub(crate) fn lock() -> Result<File, String> {
    let cannot = |error: io::Error| format!("cannot lock the demo's own file: {error}");
    let file = std::env::current_exe().and_then(File::open).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err("another demo is running; wait for it, or end it".to_owned()),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}

/// A host's wire to the router between all hosts, and the way to everywhere through it.
fn wire(host: &Namespace, internet: &Namespace, interface: &str, own: [&str; 2], router: [&str; 2]) {
    veth(
        End {
            namespace: host,
            interface,
            addresses: &own,
        },
        End {
            namespace: internet,
            interface,
            addresses: &router,
        },
    );
    for (family, address) in ["-4", "-6"].iter().zip(router) {
        let gateway = address.split('/').next().unwrap_or(address);
        host.ip(&[family, "route", "add", "default", "via", gateway]);
    }
}

fn set(namespace: &Namespace, name: &str, value: &str) {
    let path = format!("/proc/sys/net/{name}");
    namespace.run(|| fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}")));
}

/// A demo that was killed left its processes in its namespaces. Only ours ever live there.
fn end_leftovers(role: &str) {
    let name = format!("rv-{}-{role}", ravelin_tests::home::tag(NAME));
    let Ok(output) = Command::new("ip").args(["netns", "pids", &name]).output() else {
        return;
    };
    for pid in String::from_utf8_lossy(&output.stdout).split_whitespace() {
        let _gone = Command::new("kill").args(["-KILL", pid]).output();
    }
}

/// A stand-in for ssh: greets and hangs up.
fn greet(listener: TcpListener) {
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _hung_up = stream.write_all(b"SSH-2.0-demo\r\n");
        }
    });
}

/// What the harness names this world by.
const NAME: &str = "demo";
