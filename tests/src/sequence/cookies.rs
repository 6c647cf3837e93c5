//! SYN cookies of a host without a kernel: a function of both ends and the number of the SYN, as the kernel's are.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ravelin_datapath::cookie::{Cookie, Segment};
use ravelin_datapath::packet::Address;
use ravelin_datapath::wire::Plane;
use ravelin_rules::reference;

use super::memory::Remembered;

/// Nobody listens on this one of the ports that conversations use.
pub const CLOSED: u16 = 40_000;

/// The host's TCP, as the oracle asks it.
#[derive(Clone, Copy, Debug)]
pub struct Keyed;

impl reference::HostTcp for Keyed {
    fn answers(&self, _: SocketAddr, to: SocketAddr, _: u32) -> bool {
        to.port() != CLOSED
    }

    fn knows(&self, from: SocketAddr, to: SocketAddr, sequence: u32, acknowledged: u32) -> bool {
        to.port() != CLOSED && acknowledged.wrapping_sub(1) == cookie(from, to, sequence.wrapping_sub(1))
    }
}

/// The cookie for a SYN of that number.
pub(crate) fn cookie(from: SocketAddr, to: SocketAddr, sequence: u32) -> u32 {
    let mut hasher = DefaultHasher::new();
    (from, to, sequence).hash(&mut hasher);
    u32::try_from(hasher.finish() >> 32).expect("half of a word")
}

/// The same, as the datapath asks it.
impl ravelin_datapath::HostTcp for Remembered {
    fn cookie(&self, syn: &Segment) -> Option<Cookie> {
        let [from, to] = ends(syn);
        (to.port() != CLOSED).then(|| Cookie {
            number: cookie(from, to, syn.sequence),
            mss: 536,
        })
    }

    fn knows(&self, ack: &Segment) -> bool {
        let [from, to] = ends(ack);
        let number = cookie(from, to, ack.sequence.wrapping_sub(1));
        let knows = to.port() != CLOSED && ack.acknowledged == number.wrapping_add(1);
        self.proven.set(self.proven.get() + u64::from(knows));
        knows
    }
}

fn ends(segment: &Segment) -> [SocketAddr; 2] {
    let address = |address: Address| match segment.plane {
        Plane::V4 => IpAddr::from(Ipv4Addr::from_bits(
            u32::try_from(address.high >> 32).expect("half of a word"),
        )),
        Plane::V6 => IpAddr::from(Ipv6Addr::from_bits(
            u128::from(address.high) << 64 | u128::from(address.low),
        )),
    };
    [
        (address(segment.source), segment.source_port).into(),
        (address(segment.destination), segment.port).into(),
    ]
}
