//! The scene of most whole-daemon tests: a client, and a host whose interface `wan` is filtered.
//!
//! Addresses: client 10.77.0.1, 10.77.0.9 and fd00:77::1, host 10.77.0.2 and fd00:77::2.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aya::programs::{SchedClassifier, TcAttachType};
use socket2::{Domain, Protocol, Socket, Type};

use crate::daemon::{Daemon, Half};
use crate::netns::{End, Namespace, veth};

/// Two namespaces and the veth pair between them.
#[derive(Debug)]
pub struct Scene {
    /// Whoever sends; its interface is `up`.
    pub client: Namespace,
    /// Where the filter runs; its interface is `wan`.
    pub host: Namespace,
    /// What its policies say of `outbound_hook`.
    hook: Option<&'static str>,
}

impl Scene {
    /// A fresh scene for `test`.
    #[must_use]
    #[track_caller]
    pub fn new(test: &str) -> Self {
        let client = Namespace::new(test, "client");
        let host = Namespace::new(test, "host");
        let scene = Self {
            client,
            host,
            hook: None,
        };
        scene.join();
        scene
    }

    /// A fresh scene whose filters judge what goes out at that hook.
    #[must_use]
    #[track_caller]
    pub fn at(hook: &'static str, test: &str) -> Self {
        Self {
            hook: Some(hook),
            ..Self::new(&format!("{test}-{hook}"))
        }
    }

    /// Makes the veth pair; again when an end was deleted.
    #[track_caller]
    pub fn join(&self) {
        veth(
            End {
                namespace: &self.client,
                interface: "up",
                addresses: &["10.77.0.1/24", "10.77.0.9/24", "fd00:77::1/64"],
            },
            End {
                namespace: &self.host,
                interface: "wan",
                addresses: &["10.77.0.2/24", "fd00:77::2/64"],
            },
        );
    }

    /// A running filter on the host.
    #[must_use]
    #[track_caller]
    pub fn filter(&self, test: &str, policy: &str) -> Daemon {
        self.daemon(test, Half::Filter, policy).started()
    }

    /// A daemon on the host, not started yet.
    #[must_use]
    #[track_caller]
    pub fn daemon(&self, test: &str, half: Half, policy: &str) -> Daemon {
        let daemon = match self.hook {
            None => Daemon::new(test, half, policy),
            Some(hook) => Daemon::new(&format!("{test}-{hook}"), half, policy).outbound_hook(hook),
        };
        daemon.inside(&self.host)
    }

    /// Programs on the way out of the host's interface: those at TCX, and those in filters at `clsact`, of whomever.
    #[must_use]
    #[track_caller]
    pub fn outbound_programs(&self) -> (usize, usize) {
        let asked = self
            .host
            .run(|| SchedClassifier::query_tcx("wan", TcAttachType::Egress));
        let tcx = asked.expect("a kernel with TCX").1.len();
        (tcx, self.filters("egress").matches(" handle ").count())
    }

    /// What `tc` says of the queueing disciplines of the host's interface.
    #[must_use]
    #[track_caller]
    pub fn disciplines(&self) -> String {
        let mut tc = self.host.command("tc");
        let output = tc.args(["qdisc", "show", "dev", "wan"]).output();
        String::from_utf8_lossy(&output.expect("`tc` runs").stdout).into_owned()
    }

    /// What `tc` says of the filters on one side of the host's interface.
    #[must_use]
    #[track_caller]
    pub fn filters(&self, side: &str) -> String {
        let mut tc = self.host.command("tc");
        let output = tc.args(["filter", "show", "dev", "wan", side]).output();
        String::from_utf8_lossy(&output.expect("`tc` runs").stdout).into_owned()
    }

    /// One UDP datagram from `source` on the client to `target`, where somebody listens; whether it arrived.
    #[must_use]
    #[track_caller]
    pub fn udp_arrives(&self, source: &str, target: &str) -> bool {
        udp(&self.client, source, &self.host, target)
    }

    /// The same from the host to a `target` of the client.
    #[must_use]
    #[track_caller]
    pub fn udp_leaves(&self, source: &str, target: &str) -> bool {
        udp(&self.host, source, &self.client, target)
    }

    /// Whether a TCP connection from `source` on the client to a listener on `target` carries bytes both ways.
    #[must_use]
    #[track_caller]
    pub fn tcp_works(&self, source: &str, target: &str) -> bool {
        tcp(&self.client, source, &self.host, target)
    }

    /// The same from the host to a `target` of the client.
    #[must_use]
    #[track_caller]
    pub fn tcp_leaves(&self, source: &str, target: &str) -> bool {
        tcp(&self.host, source, &self.client, target)
    }

    /// Whether an echo request from the client is answered.
    #[must_use]
    #[track_caller]
    pub fn echo_answered(&self, target: &str) -> bool {
        echo(&self.client, target)
    }

    /// The same from the host.
    #[must_use]
    #[track_caller]
    pub fn echo_leaves(&self, target: &str) -> bool {
        echo(&self.host, target)
    }
}

#[track_caller]
fn udp(from: &Namespace, source: &str, to: &Namespace, target: &str) -> bool {
    let receiver = to.run(|| UdpSocket::bind(target).expect("bind the receiver"));
    receiver.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let sender = from.run(|| UdpSocket::bind(source).expect("bind the sender"));
    sender
        .send_to(b"hello", receiver.local_addr().expect("an address"))
        .expect("send");
    let mut buffer = [0; 16];
    receiver
        .recv(&mut buffer)
        .is_ok_and(|length| &buffer[..length] == b"hello")
}

#[track_caller]
fn tcp(from: &Namespace, source: &str, to: &Namespace, target: &str) -> bool {
    let source = source.parse().expect("an address");
    let listener = to.run(|| TcpListener::bind(target).expect("bind the listener"));
    let target = listener.local_addr().expect("an address");
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        stream.write_all(&byte)
    });
    let worked = from.run(|| connect_from(source, target)).and_then(|mut stream| {
        stream.set_read_timeout(Some(SILENCE * 4))?;
        stream.write_all(b"x")?;
        let mut byte = [0];
        stream.read_exact(&mut byte)
    });
    if worked.is_ok() {
        echo.join().expect("the echo").expect("echoed");
    }
    worked.is_ok()
}

#[track_caller]
fn echo(from: &Namespace, target: &str) -> bool {
    let target: IpAddr = target.parse().expect("an address");
    let (domain, protocol, request, reply) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
    };
    from.run(|| {
        let mut socket = Socket::new(domain, Type::RAW, Some(protocol)).expect("a raw socket");
        socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
        // Type, code, checksum, identifier 1, sequence 1; the sum of the 16-bit words is all ones. For ICMPv6 the
        // kernel fills it in.
        let sum = !(u16::from(request) << 8).wrapping_add(2);
        let [high, low] = sum.to_be_bytes();
        let message = [request, 0, high, low, 0, 1, 0, 1];
        socket
            .send_to(&message, &SocketAddr::new(target, 0).into())
            .expect("send");
        let mut buffer = [0; 128];
        // An IPv4 raw socket gives the IP header too; other ICMP messages, neighbour discovery above all, come by.
        let start = if target.is_ipv4() { 20 } else { 0 };
        while let Ok(length) = socket.read(&mut buffer) {
            if length > start && buffer[start] == reply {
                return true;
            }
        }
        false
    })
}

/// A TCP connection from an address of this namespace.
///
/// # Errors
/// When nobody answers in time.
pub fn connect_from(source: IpAddr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect_timeout(&target.into(), SILENCE)?;
    Ok(socket.into())
}

/// Sends datagrams without pause until they are stopped, or for the longest time that they may. `sent` counts those that left without an error, with
/// `all` every one.
///
/// # Panics
/// When `source` is no address of this namespace.
#[track_caller]
pub fn flood(source: &str, target: &str, all: bool, sent: &AtomicU64, stop: &AtomicBool) {
    let socket = UdpSocket::bind(source).expect("an address of this namespace");
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) && start.elapsed() < LONGEST_FLOOD {
        // What is dropped on the way out, or answered by an error, may be one here, or none.
        let left = socket.send_to(b"x", target);
        sent.fetch_add(u64::from(all || left.is_ok()), Ordering::Relaxed);
    }
}

/// Stops a flood when it is dropped: also when a test panics, whose threads are waited for.
#[derive(Debug)]
pub struct Stops<'f>(pub &'f AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A flood stops by itself.
const LONGEST_FLOOD: Duration = Duration::from_secs(120);

/// Makes each of these functions a test at each hook for what goes out: the one that the kernel has, which is TCX, and `clsact`.
#[macro_export]
macro_rules! at_each_hook {
    ($($test:ident,)+) => {
        mod tcx {
            $(#[test] fn $test() { super::$test("auto"); })+
        }
        mod clsact {
            $(#[test] fn $test() { super::$test("clsact"); })+
        }
    };
}

/// How long a packet that was dropped is waited for.
pub const SILENCE: Duration = Duration::from_millis(300);
