//! What captured packets stand in: each becomes the Ethernet frame that the packet path reads.
//!
//! The numbers are those of the capture formats' registry of link types (draft-ietf-opsawg-pcaplinktype).

/// How the packet path sees a captured packet.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    /// On the wire, in bytes.
    length: usize,
}

impl Frame {
    /// Takes the packet in; false when this kind of link is not known.
    pub(super) fn fill(&mut self, link: u16, bytes: &[u8], length: usize) -> bool {
        self.bytes.clear();
        let (ether_type, header) = match link {
            ETHERNET => {
                self.bytes.extend_from_slice(bytes);
                self.length = length;
                return true;
            }
            RAW | RAW_BSD | RAW_OPENBSD => (by_version(bytes), 0),
            IPV4 => (IP, 0),
            IPV6 => (IP6, 0),
            NULL => (family(bytes, u32::from_ne_bytes), 4),
            LOOP => (family(bytes, u32::from_be_bytes), 4),
            LINUX_SLL => (field(bytes, 14), 16),
            LINUX_SLL2 => (field(bytes, 0), 20),
            _ => return false,
        };
        self.bytes.extend_from_slice(&[0; 12]);
        self.bytes.extend_from_slice(&ether_type);
        self.bytes
            .extend_from_slice(bytes.get(header..).unwrap_or_default());
        self.length = length.saturating_sub(header).saturating_add(14);
        true
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn length(&self) -> usize {
        self.length.max(self.bytes.len())
    }
}

/// Of a packet cut so short that nobody knows, the one that no rule reaches.
fn by_version(bytes: &[u8]) -> [u8; 2] {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => IP,
        Some(6) => IP6,
        _ => NEITHER,
    }
}

/// The address family in front of a BSD loopback packet; IPv6 has another number on each of them.
fn family(bytes: &[u8], number: fn([u8; 4]) -> u32) -> [u8; 2] {
    match bytes.first_chunk().map(|word| number(*word)) {
        Some(2) => IP,
        Some(10 | 24 | 28 | 30) => IP6,
        _ => NEITHER,
    }
}

fn field(bytes: &[u8], at: usize) -> [u8; 2] {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.copied().unwrap_or(NEITHER)
}

const IP: [u8; 2] = [0x08, 0x00];
const IP6: [u8; 2] = [0x86, 0xdd];
/// The first number of an EtherType that IEEE set aside for experiments.
const NEITHER: [u8; 2] = [0x88, 0xb5];

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const RAW_BSD: u16 = 12;
const RAW_OPENBSD: u16 = 14;
const RAW: u16 = 101;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;
