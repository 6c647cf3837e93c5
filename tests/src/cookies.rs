//! A host whose sockets listen, and the cookies that its kernel has made: what `BPF_PROG_TEST_RUN` of the inbound program asks.
//!
//! SYN in, answer out → **every byte of the answer is checked** → the number in it is known from then on, as it is to the kernel.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};

use ravelin_rules::{Direction, reference};
use socket2::{Domain, Socket, Type};

use crate::sequence::cookie;

/// The sockets, and what was said.
#[derive(Debug)]
pub struct Listening {
    sockets: Vec<TcpListener>,
    made: RefCell<Vec<Made>>,
    /// What to add to the host's numbers of a conversation that was made up before the kernel chose its own.
    shifts: RefCell<HashMap<(SocketAddr, SocketAddr), u32>>,
}

#[derive(Clone, Copy, Debug)]
struct Made {
    from: SocketAddr,
    to: SocketAddr,
    sequence: u32,
    cookie: u32,
}

impl Listening {
    /// Listens on these ports of all addresses of the namespace that the thread is in, whose kernel always makes cookies from now on.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    #[track_caller]
    pub fn on(ports: &[u16]) -> Self {
        fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2").expect("this namespace's setting");
        let listen = |any: &str, port: u16| {
            let address: SocketAddr = (any.parse::<IpAddr>().expect("an address"), port).into();
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
            if address.is_ipv6() {
                socket.set_only_v6(true).expect("IPv6 alone");
            }
            socket.set_reuse_address(true).expect("an option");
            socket.bind(&address.into()).expect("a free port");
            socket.listen(16).expect("a listener");
            socket.into()
        };
        let sockets = ports
            .iter()
            .flat_map(|port| [listen("0.0.0.0", *port), listen("::", *port)]);
        Self {
            sockets: sockets.collect(),
            made: RefCell::default(),
            shifts: RefCell::default(),
        }
    }

    fn listens(&self, port: u16) -> bool {
        let mut sockets = self.sockets.iter();
        sockets.any(|socket| socket.local_addr().is_ok_and(|address| address.port() == port))
    }

    /// Nothing was said.
    pub fn forget(&self) {
        self.made.borrow_mut().clear();
        self.shifts.borrow_mut().clear();
    }

    /// The program has made this of a SYN. Returns the cookie.
    ///
    /// # Panics
    /// When it is no answer to it.
    #[track_caller]
    pub fn answered(&self, syn: &[u8], answer: &[u8]) -> u32 {
        let cookie_of_kernel = checked(syn, answer);
        let (from, to, at) = ends(syn);
        let sequence = word(syn, at + 4);
        self.made.borrow_mut().push(Made {
            from,
            to,
            sequence,
            cookie: cookie_of_kernel,
        });
        let shift = cookie_of_kernel.wrapping_sub(cookie(from, to, sequence));
        self.shifts.borrow_mut().insert((from, to), shift);
        cookie_of_kernel
    }

    /// Lets a packet of a conversation that was made up go on with what the kernel has said in it.
    pub fn follow(&self, direction: Direction, frame: &mut [u8]) {
        if frame.len() < 54 || !is_tcp(frame) {
            return;
        }
        let (from, to, at) = ends(frame);
        let (key, number) = match direction {
            Direction::Inbound if frame[at + 13] & 0x10 != 0 => ((from, to), at + 8),
            Direction::Inbound => return,
            Direction::Outbound => ((to, from), at + 4),
        };
        if let Some(shift) = self.shifts.borrow().get(&key) {
            let shifted = word(frame, number).wrapping_add(*shift);
            frame[number..number + 4].copy_from_slice(&shifted.to_be_bytes());
        }
    }
}

impl reference::HostTcp for Listening {
    fn answers(&self, _: SocketAddr, to: SocketAddr, _: u32) -> bool {
        self.listens(to.port())
    }

    fn knows(&self, from: SocketAddr, to: SocketAddr, sequence: u32, acknowledged: u32) -> bool {
        let made = self.made.borrow();
        self.listens(to.port())
            && made.iter().any(|made| {
                // A cookie is a hash of both ends, plus the number of the SYN, plus which of four sizes of segments: 0 in what these tests send.
                // So the kernel takes four numbers for each, and what is added to both numbers cancels out (net/ipv4/syncookies.c).
                let said = made.cookie.wrapping_sub(made.sequence);
                let brought = acknowledged.wrapping_sub(sequence);
                (made.from, made.to) == (from, to) && brought.wrapping_sub(said) < 4
            })
    }
}

/// Checks every byte of an answer, slowly, and returns its number.
///
/// # Panics
/// When it is no answer to that SYN.
#[track_caller]
pub fn checked(syn: &[u8], answer: &[u8]) -> u32 {
    let (from, to, at) = ends(syn);
    assert!(answer.len() <= syn.len(), "never longer than what it answers");
    assert_eq!(
        (&answer[..6], &answer[6..12]),
        (&syn[6..12], &syn[..6]),
        "the stations"
    );
    let ip = if from.is_ipv4() { at - 20 } else { at - 40 };
    assert_eq!(answer[12..ip], syn[12..ip], "tags and the kind");
    assert_eq!(ends(answer), (to, from, at), "the ends");
    let tcp = &answer[at..at + 24];
    assert_eq!(
        word(tcp, 8),
        word(syn, at + 4).wrapping_add(1),
        "what it acknowledges"
    );
    assert_eq!((tcp[12], tcp[13]), (6 << 4, 0x12), "24 bytes, SYN and ACK");
    let mss = u16::from_be_bytes([tcp[22], tcp[23]]);
    let window = u16::from_be_bytes([tcp[14], tcp[15]]);
    assert_eq!((tcp[20], tcp[21]), (2, 4), "the option for the largest segment");
    assert!((536..=1460).contains(&mss), "{mss}");
    assert!(
        window.is_multiple_of(mss) && u32::from(window) + u32::from(mss) > 65_535,
        "{window}"
    );
    let mut pseudo = Vec::new();
    if from.is_ipv4() {
        let header = &answer[ip..at];
        assert_eq!(u16::from_be_bytes([header[2], header[3]]), 44);
        assert_eq!(
            (header[6], header[7], header[8]),
            (0x40, 0, 64),
            "not to be cut; the TTL"
        );
        assert_eq!(total(header), 0xffff, "the header's checksum");
        pseudo.extend(&header[12..20]);
    } else {
        let header = &answer[ip..at];
        assert_eq!(header[..8], [0x60, 0, 0, 0, 0, 24, 6, 64]);
        pseudo.extend(&header[8..40]);
    }
    pseudo.extend([0, 6, 0, 24]);
    pseudo.extend(tcp);
    assert_eq!(total(&pseudo), 0xffff, "TCP's checksum");
    assert!(answer[at + 24..].iter().all(|byte| *byte == 0), "zeros behind it");
    word(tcp, 4)
}

/// The one's complement sum, carry by carry (RFC 1071).
fn total(bytes: &[u8]) -> u32 {
    let mut total: u32 = 0;
    for pair in bytes.chunks(2) {
        total += u32::from(pair[0]) * 256 + u32::from(*pair.get(1).unwrap_or(&0));
        if total > 0xffff {
            total -= 0xffff;
        }
    }
    total
}

/// Who sent a TCP packet, to whom, and where its TCP header begins. No options, no extension headers.
fn ends(frame: &[u8]) -> (SocketAddr, SocketAddr, usize) {
    let mut ip = 14;
    while matches!(frame[ip - 2..ip], [0x81, 0x00] | [0x88, 0xa8]) {
        ip += 4;
    }
    let (from, to, at): (IpAddr, IpAddr, usize) = if frame[ip] >> 4 == 4 {
        let address = |at: usize| {
            <[u8; 4]>::try_from(&frame[at..at + 4])
                .expect("four bytes")
                .into()
        };
        (address(ip + 12), address(ip + 16), ip + 20)
    } else {
        let address = |at: usize| {
            <[u8; 16]>::try_from(&frame[at..at + 16])
                .expect("sixteen bytes")
                .into()
        };
        (address(ip + 8), address(ip + 24), ip + 40)
    };
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    ((from, port(at)).into(), (to, port(at + 2)).into(), at)
}

/// Whether an untagged frame has a TCP header directly behind its IP header.
fn is_tcp(frame: &[u8]) -> bool {
    match frame[12..14] {
        [0x08, 0x00] => frame[14] == 0x45 && frame[23] == 6 && frame[20] & 0x3f == 0 && frame[21] == 0,
        [0x86, 0xdd] => frame[20] == 6 && frame.len() >= 74,
        _ => false,
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
