//! The same frames at a host that nftables filters: two namespaces and a veth pair, a packet socket that sends, counters that tell.
//!
//! Row → **`Outcome`**. Each row has a host of its own, so that neither connection tracking nor reassembly remembers another one. What the
//! host would answer by itself is dropped before connection tracking sees it: a reset of a port where nobody listens would end the flow
//! that a row is about.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, send, socket};
use nix::unistd::Pid;
use ravelin_rules::Direction;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use super::table::{HOST, Row, Step};
use crate::fixture;
use crate::netns::{End, Namespace, expect_success, veth};
use crate::packet::ether;
use crate::wait;

/// What becomes of a trick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is there behind the ruleset.
    ComesIn,
    /// The ruleset denies it, or a part of it.
    Denied,
    /// It does not come to the ruleset: the host's stack refuses it, knows nothing of such frames, or waits for parts that do not come.
    Refused,
}

impl Outcome {
    /// The word of the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ComesIn => "allow",
            Self::Denied => "deny",
            Self::Refused => "stack",
        }
    }
}

/// What an operator would write.
///
/// # Panics
/// When the fixture is not there.
#[must_use]
pub fn ruleset() -> String {
    fixture::policy_of_file("evasion.nft", "the ruleset")
}

/// The versions that the outcome depends on.
///
/// # Panics
/// When `nft` does not run.
#[must_use]
pub fn versions() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
    let kernel: Vec<&str> = kernel.split(['.', '-']).take(2).collect();
    let nft = std::process::Command::new("nft").arg("--version").output();
    let nft = String::from_utf8_lossy(&nft.expect("nft runs").stdout).into_owned();
    let nft = nft.split_whitespace().nth(1).unwrap_or_default().to_owned();
    format!(
        "Linux {}, nftables {}",
        kernel.join("."),
        nft.trim_start_matches('v')
    )
}

/// What becomes of a row's trick at a host with nftables.
///
/// # Panics
/// When the host cannot be made.
#[must_use]
#[track_caller]
pub fn outcome(row: &Row) -> Outcome {
    stay_on_one_processor();
    let host = Host::new();
    let mut sent = 0;
    let mut before = host.counts(sent);
    let mut in_the_trick = false;
    for step in &row.steps {
        if !step.before && !in_the_trick {
            before = host.counts(sent);
            in_the_trick = true;
        }
        match step.direction {
            Direction::Inbound => host.receives(step),
            Direction::Outbound => host.sends(step),
        }
        sent += 1;
        host.receives_frame(&sentinel());
    }
    let after = host.counts(sent);
    let (reached, passed) = (after.reached - before.reached, after.passed - before.passed);
    if passed >= row.whole_packets() {
        Outcome::ComesIn
    } else if reached > passed {
        Outcome::Denied
    } else {
        Outcome::Refused
    }
}

struct Host {
    host: Namespace,
    _peer: Namespace,
    wire: OwnedFd,
}

/// Packets counted so far.
struct Counts {
    reached: u64,
    passed: u64,
}

impl Host {
    #[track_caller]
    fn new() -> Self {
        let (host, peer) = (
            Namespace::new("evasion", "host"),
            Namespace::new("evasion", "peer"),
        );
        // The peer says nothing by itself.
        configure(&peer, "ipv6/conf/default/disable_ipv6", "1");
        for (key, value) in [
            ("ipv4/conf/all/rp_filter", "1"),
            ("ipv4/conf/all/accept_source_route", "0"),
        ] {
            configure(&host, key, value);
        }
        let addresses = [format!("{}/24", HOST[0]), format!("{}/64", HOST[1])];
        veth(
            End {
                namespace: &peer,
                interface: "up",
                addresses: &[],
            },
            End {
                namespace: &host,
                interface: "wan",
                addresses: &addresses.each_ref().map(String::as_str),
            },
        );
        // As the frames of the table are addressed.
        host.ip(&["link", "set", "dev", "wan", "address", "02:00:00:00:00:02"]);
        for router in ["203.0.113.1", "2001:db8:1::1"] {
            host.ip(&[
                "neigh",
                "replace",
                router,
                "lladdr",
                "02:00:00:00:00:01",
                "dev",
                "wan",
            ]);
            let family = if router.contains(':') { "-6" } else { "-4" };
            host.ip(&[family, "route", "add", "default", "via", router]);
        }
        let wire = peer.run(|| packet_socket("up"));
        let host = Self {
            host,
            _peer: peer,
            wire,
        };
        host.load(&format!("{}{}", include_str!("counters.nft"), ruleset()));
        host
    }

    #[track_caller]
    fn load(&self, ruleset: &str) {
        let mut nft = self.host.command("nft");
        let nft = nft.args(["-f", "-"]).stdin(Stdio::piped());
        let nft = nft.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut nft = nft.spawn().expect("nft runs");
        let mut stdin = nft.stdin.take().expect("piped");
        stdin.write_all(ruleset.as_bytes()).expect("nft reads");
        drop(stdin);
        expect_success("nft -f -", &nft.wait_with_output().expect("nft ends"));
    }

    #[track_caller]
    fn receives(&self, step: &Step) {
        self.receives_frame(&step.packet.bytes());
    }

    #[track_caller]
    fn receives_frame(&self, frame: &[u8]) {
        let sent = send(self.wire.as_raw_fd(), frame, MsgFlags::empty());
        assert_eq!(sent, Ok(frame.len()), "{frame:02x?}");
    }

    /// The host sends it by itself, through its own hooks: a packet socket would pass them by.
    #[track_caller]
    fn sends(&self, step: &Step) {
        let frame = step.packet.bytes();
        let packet = &frame[14..];
        let (domain, to) = match packet[0] >> 4 {
            4 => {
                let to: [u8; 4] = packet[16..20].try_into().expect("four bytes");
                (Domain::IPV4, IpAddr::from(to))
            }
            _ => {
                let to: [u8; 16] = packet[24..40].try_into().expect("sixteen bytes");
                (Domain::IPV6, IpAddr::from(to))
            }
        };
        self.host.run(|| {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(IPPROTO_RAW)));
            let socket = socket.expect("a raw socket");
            socket.set_mark(MARK).expect("a mark");
            let sent = socket.send_to(packet, &SocketAddr::new(to, 0).into());
            assert_eq!(sent.ok(), Some(packet.len()), "{}", step.packet);
        });
    }

    /// The counters, once so many sentinels have come by: what was sent before them has come by too.
    #[track_caller]
    fn counts(&self, sentinels: u64) -> Counts {
        wait::until("the frames to come by", Duration::from_secs(10), || {
            let output = self.host.command("nft").args(["-j", "list", "counters"]).output();
            let output = output.expect("nft runs");
            expect_success("nft list counters", &output);
            let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let packets = |name: &str| {
                let mut counters = listed["nftables"].as_array()?.iter();
                let counter = counters.find(|object| object["counter"]["name"] == name)?;
                counter["counter"]["packets"].as_u64()
            };
            (packets("sentinel")? == sentinels).then_some(())?;
            Some(Counts {
                reached: packets("reached")? + packets("arp_passed")?,
                passed: packets("passed")? + packets("arp_passed")?,
            })
        })
    }
}

/// Writes a setting of the namespace's network.
#[track_caller]
fn configure(namespace: &Namespace, key: &str, value: &str) {
    let path = format!("/proc/sys/net/{key}");
    namespace.run(|| fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}")));
}

/// A socket whose frames go out on that interface as they are.
#[track_caller]
fn packet_socket(interface: &str) -> OwnedFd {
    let wire = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
    let wire = wire.expect("a packet socket");
    let mut links = getifaddrs().expect("the interfaces");
    let link = links.find_map(|link| {
        let address = link.address?;
        let address = *address.as_link_addr()?;
        (link.interface_name == interface).then_some(address)
    });
    bind(wire.as_raw_fd(), &link.expect("the interface")).expect("bound to it");
    wire
}

/// Comes by behind a frame, and ends before the ruleset and connection tracking.
fn sentinel() -> Vec<u8> {
    ether().ipv4().udp(9).with("source-port", 1).bytes()
}

/// Each processor has a queue of what a veth pair has to hand over: frames that are sent on one of them keep their order.
fn stay_on_one_processor() {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).expect("the processors");
    let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(first.expect("a processor")).expect("it is there");
    sched_setaffinity(this, &one).expect("this thread stays there");
}

/// A raw socket of this protocol is given whole IP packets.
const IPPROTO_RAW: i32 = 255;
/// As `counters.nft` says.
const MARK: u32 = 7;
