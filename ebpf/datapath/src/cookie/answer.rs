//! The bytes that answer a SYN: what the host would say with a cookie, and nothing that it would have to remember.

use super::{ACK, Cookie, SYN, Segment};
use crate::packet::Address;
use crate::parse;
use crate::wire::Plane;

/// Bytes of the longest answer, from the IP header on.
pub const LONGEST: usize = V6 + TCP_BYTES;

/// Bytes of its TCP header: 20, and the option for the largest segment.
pub(super) const TCP_BYTES: usize = 24;

/// Writes the answer to a SYN, from the IP header on, with zeros behind it. Says how many bytes it has.
#[inline(always)]
pub fn answer(syn: &Segment, cookie: Cookie, to: &mut [u8; LONGEST]) -> usize {
    let mut at = 0;
    while at < LONGEST {
        to[at] = 0;
        at += 1;
    }
    match syn.plane {
        Plane::V4 => {
            to[0] = 0x45;
            to[3] = V4_LENGTH;
            to[6] = DO_NOT_FRAGMENT;
            to[8] = HOPS;
            to[9] = parse::TCP;
            put32::<12>(to, high_half(syn.destination.high));
            put32::<16>(to, high_half(syn.source.high));
            put16::<10>(to, folded(sum::<0, V4>(to)));
            tcp::<V4>(syn, cookie, LARGEST_V4, to);
            let pseudo = sum::<12, V4>(to);
            put16::<{ V4 + CHECKSUM }>(to, checksum::<V4>(to, pseudo));
            V4 + TCP_BYTES
        }
        Plane::V6 => {
            to[0] = 0x60;
            to[5] = TCP_LENGTH;
            to[6] = parse::TCP;
            to[7] = HOPS;
            put_address::<8>(to, syn.destination);
            put_address::<24>(to, syn.source);
            tcp::<V6>(syn, cookie, LARGEST_V6, to);
            let pseudo = sum::<8, V6>(to);
            put16::<{ V6 + CHECKSUM }>(to, checksum::<V6>(to, pseudo));
            V6 + TCP_BYTES
        }
    }
}

/// The TCP header at `AT`, without its checksum.
#[inline(always)]
fn tcp<const AT: usize>(syn: &Segment, cookie: Cookie, largest: u16, to: &mut [u8; LONGEST]) {
    // Both ends may send as much at once as the cookie says; the other end no more than fits an Ethernet frame.
    let mss = if cookie.mss < largest { cookie.mss } else { largest };
    // As many whole segments as fit: what the host itself says, whose window is never shifted in such a connection.
    let window = u16::MAX - u16::MAX.checked_rem(mss).unwrap_or(0);
    let [p0, p1] = syn.port.to_be_bytes();
    let [s0, s1] = syn.source_port.to_be_bytes();
    let [n0, n1, n2, n3] = cookie.number.to_be_bytes();
    let [a0, a1, a2, a3] = syn.sequence.wrapping_add(1).to_be_bytes();
    let [w0, w1] = window.to_be_bytes();
    let [m0, m1] = mss.to_be_bytes();
    let header = [
        p0,
        p1,
        s0,
        s1,
        n0,
        n1,
        n2,
        n3,
        a0,
        a1,
        a2,
        a3,
        WORDS << 4,
        SYN | ACK,
        w0,
        w1,
        0,
        0,
        0,
        0,
        MSS,
        4,
        m0,
        m1,
    ];
    let mut at = 0;
    while at < TCP_BYTES {
        to[AT + at] = header[at];
        at += 1;
    }
}

/// The checksum of the TCP header at `AT` (RFC 9293, section 3.1), given the sum of the addresses.
#[inline(always)]
fn checksum<const AT: usize>(bytes: &[u8; LONGEST], addresses: u32) -> u16 {
    let mut total = addresses + u32::from(parse::TCP) + u32::from(TCP_LENGTH);
    let mut at = AT;
    while at < AT + TCP_BYTES {
        total += u16::from_be_bytes([bytes[at], bytes[at + 1]]) as u32;
        at += 2;
    }
    folded(total)
}

/// The words from one byte to another, added up: at most 32 of them, so 21 bits.
#[inline(always)]
fn sum<const FROM: usize, const TO: usize>(bytes: &[u8; LONGEST]) -> u32 {
    let (mut total, mut at) = (0, FROM);
    while at < TO {
        total += u16::from_be_bytes([bytes[at], bytes[at + 1]]) as u32;
        at += 2;
    }
    total
}

/// The one's complement of the sum, in 16 bits (RFC 1071).
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the sum has 21 bits: folded twice, 16"
)]
const fn folded(total: u32) -> u16 {
    let once = (total & 0xffff) + (total >> 16);
    !((once & 0xffff) + (once >> 16)) as u16
}

#[inline(always)]
const fn high_half(number: u64) -> u32 {
    (number >> 32) as u32
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low half")]
fn put_address<const AT: usize>(to: &mut [u8; LONGEST], address: Address) {
    put(to, AT, high_half(address.high).to_be_bytes());
    put(to, AT + 4, (address.high as u32).to_be_bytes());
    put(to, AT + 8, high_half(address.low).to_be_bytes());
    put(to, AT + 12, (address.low as u32).to_be_bytes());
}

#[inline(always)]
fn put32<const AT: usize>(to: &mut [u8; LONGEST], number: u32) {
    put(to, AT, number.to_be_bytes());
}

#[inline(always)]
fn put16<const AT: usize>(to: &mut [u8; LONGEST], number: u16) {
    put(to, AT, number.to_be_bytes());
}

#[inline(always)]
fn put<const N: usize>(to: &mut [u8; LONGEST], from: usize, bytes: [u8; N]) {
    let mut at = 0;
    while at < N {
        to[from + at] = bytes[at];
        at += 1;
    }
}

const V4: usize = 20;
const V6: usize = 40;
/// Where a TCP header has its checksum.
const CHECKSUM: usize = 16;
/// 32-bit words of the TCP header.
const WORDS: u8 = TCP_LENGTH / 4;
/// [`TCP_BYTES`], as headers say it.
const TCP_LENGTH: u8 = 24;
/// The same with an IPv4 header.
const V4_LENGTH: u8 = 44;

const _: () = assert!(TCP_LENGTH as usize == TCP_BYTES && V4_LENGTH as usize == V4 + TCP_BYTES);

/// RFC 9293: the option for the largest segment.
const MSS: u8 = 2;
/// TTL or hop limit, as the host has it (RFC 1700).
const HOPS: u8 = 64;
/// RFC 791. The host's own SYN has the number 0, and such a packet must not be cut (RFC 6864).
const DO_NOT_FRAGMENT: u8 = 0x40;
/// What is left of an Ethernet frame of 1,500 bytes.
const LARGEST_V4: u16 = 1460;
/// The same for IPv6.
const LARGEST_V6: u16 = 1440;
