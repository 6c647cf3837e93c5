//! The host that is flooded, behind one filter or another.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use ravelin_benches::Pass;
use ravelin_tests::daemon::Daemon;
use ravelin_tests::scene::Scene;

/// Where the host is.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Where its server listens.
pub(crate) const PORT: u16 = 8080;

/// What stands in front of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Nothing.
    None,
    /// nftables as operators write it: connection tracking, and a chain of the input hook that drops.
    Nftables,
    /// nftables at the earliest place that it has, without connections.
    Ingress,
    /// Ravelin, keeping flows.
    Ravelin,
    /// The same, with a budget for SYNs.
    Budget,
    /// The same, which answers what is over it with cookies.
    Cookies,
}

impl Filter {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "no filter",
            Self::Nftables => "nftables, input, connections tracked",
            Self::Ingress => "nftables, ingress, no connections",
            Self::Ravelin => "Ravelin",
            Self::Budget => "Ravelin, SYN budget",
            Self::Cookies => "Ravelin, SYN budget and cookies",
        }
    }
}

/// A host behind its filter; the filter goes when it is dropped.
pub(crate) struct Host<'s> {
    scene: &'s Scene,
    nftables: bool,
    _pass: Option<Pass>,
    /// On the client's end, where what the host's driver sends back arrives only when a program is there.
    _client: Pass,
    _filter: Option<Daemon>,
}

impl<'s> Host<'s> {
    pub(crate) fn new(scene: &'s Scene, filter: Filter) -> Self {
        let policy = match filter {
            Filter::Ravelin => Some(POLICY.to_owned()),
            Filter::Budget => Some(format!("{POLICY}{BUDGET}")),
            Filter::Cookies => Some(format!("{POLICY}{BUDGET}{COOKIES}")),
            _ => None,
        };
        let ruleset = match filter {
            Filter::Nftables => Some(INPUT),
            Filter::Ingress => Some(INGRESS),
            _ => None,
        };
        let pass = policy
            .is_none()
            .then(|| scene.host.run(|| Pass::attach(INTERFACE)));
        let client = scene.client.run(|| Pass::attach("up"));
        let daemon = policy.map(|policy| scene.filter("bench-flood", &policy));
        if let Some(ruleset) = ruleset {
            nft(scene, ruleset);
        }
        // Packets come to all of them on the same way: from the driver's ring, by a thread of its own, which there is once a program is on the
        // interface.
        let threaded = format!("echo 1 > /sys/class/net/{INTERFACE}/threaded");
        run(Command::new("ip").args(["netns", "exec", scene.host.name(), "sh", "-c", &threaded]));
        pin_link();
        Self {
            scene,
            nftables: ruleset.is_some(),
            _pass: pass,
            _client: client,
            _filter: daemon,
        }
    }

    /// Packets that came from the link so far.
    pub(crate) fn received(&self) -> u64 {
        read(self.scene, "statistics/rx_packets")
            .parse()
            .expect("a number of packets")
    }
}

/// What the kernel says of the host's interface.
pub(crate) fn read(scene: &Scene, what: &str) -> String {
    let path = format!("cat /sys/class/net/{INTERFACE}/{what}");
    let output = Command::new("ip")
        .args(["netns", "exec", scene.host.name(), "sh", "-c", &path])
        .output()
        .expect("`ip` runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        if self.nftables {
            nft(self.scene, "flush ruleset\n");
        }
    }
}

/// The calling thread stays on that processor.
pub(crate) fn pin_to(processor: usize) {
    pin(Pid::from_raw(0), processor);
}

/// The thread that takes packets from the link works where the host does.
fn pin_link() {
    let threads = fs::read_dir("/proc").expect("/proc").flatten();
    let name = format!("napi/{INTERFACE}-");
    let mut pinned = 0;
    for thread in threads {
        let comm = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        let Some(Ok(pid)) = thread.file_name().to_str().map(str::parse::<i32>) else {
            continue;
        };
        if comm.starts_with(&name) {
            pin(Pid::from_raw(pid), 1);
            pinned += 1;
        }
    }
    assert!(pinned > 0, "no thread takes packets from `{INTERFACE}`");
}

fn pin(pid: Pid, processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor).expect("a processor");
    sched_setaffinity(pid, &set).expect("two processors");
}

fn nft(scene: &Scene, ruleset: &str) {
    let mut child = scene
        .host
        .command("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nft runs");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(ruleset.as_bytes()).expect("it reads");
    drop(input);
    assert!(child.wait().expect("it ends").success(), "nft takes the ruleset");
}

fn run(command: &mut Command) {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

const INTERFACE: &str = "wan";

const POLICY: &str = r#"
[firewall]
interfaces = ["wan"]

[[rule]]
name        = "web"
action      = "allow"
destination = "self"
protocol    = "tcp"
ports       = [8080]
"#;

const BUDGET: &str = r#"
[flood]
syn_budget = { rate = "1000/s" }
"#;

/// The server is whoever listens there; the filter asks for no more than the port.
const COOKIES: &str = r#"
[[listener]]
name      = "web"
bind      = ["0.0.0.0:8080"]
syn_proxy = "auto"
routes    = [{ upstream = "app" }]
tls       = { certificates = [{ cert = "web.pem", key = "web.key" }] }

[[upstream]]
name    = "app"
servers = ["127.0.0.1:8081"]
"#;

const INPUT: &str = "
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iifname lo accept
        meta l4proto { icmp, icmpv6 } accept
        tcp dport 8080 accept
    }
}
";

const INGRESS: &str = "
table netdev filter {
    chain ingress {
        type filter hook ingress device \"wan\" priority 0; policy drop;
        meta protocol arp accept
        meta l4proto { icmp, icmpv6 } accept
        tcp dport 8080 accept
    }
}
";
