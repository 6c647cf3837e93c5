//! Bans as the kernel holds them: keys, values, and the filter that stands before them.
//!
//! ```text
//! BANS        key → value                         what is banned, and until when
//! NEVER_BAN   key → 1                             what a ban does not cover; belongs to a generation
//! BAN_FILTER  lengths, then bits                  what nearly all packets read of it
//! ```
//!
//! A ban of a host, or of 64 bits and more of IPv6, sets some bits of one word of the filter; a wider one sets one bit, or all those of
//! the addresses that it covers. An address whose bits are clear is not banned.

use core::ops::Range;

use super::Plane;
use crate::packet::Address;

/// The most bans there can be at once. A bound: whoever makes bans, by a feed or by a flood that is answered with bans, fills no more
/// memory than this.
pub const BANS: u32 = 1 << 20;

/// Different reasons that bans can have at once. A bound, as above: reasons are free text.
pub const BAN_REASONS: u32 = 1 << 16;

/// The longest reason, in bytes of UTF-8.
pub const BAN_REASON_BYTES: usize = 64;

/// A prefix: the address, left-aligned, with all bits behind the prefix clear, then [`Prefix::tag`].
pub type BanKey = [u64; 3];

/// When the ban ends, and when it was made, in nanoseconds since boot, suspended time counted; then [`BanNote`].
pub type BanValue = [u64; 3];

/// Who made a ban, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BanNote {
    /// The user that asked for it.
    pub user: u32,
    /// The number of its reason; 0: none.
    pub reason: u32,
}

impl BanNote {
    /// The word.
    #[must_use]
    pub const fn pack(self) -> u64 {
        (self.user as u64) << 32 | self.reason as u64
    }

    /// The note of a word.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    pub const fn unpack(word: u64) -> Self {
        Self {
            user: (word >> 32) as u32,
            reason: word as u32,
        }
    }
}

/// A prefix of 1 to 32 bits (IPv4) or 128 (IPv6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The family.
    pub plane: Plane,
    /// How many bits.
    pub length: u32,
}

impl Prefix {
    /// The last word of a key.
    #[must_use]
    #[inline(always)]
    pub const fn tag(self) -> u64 {
        (self.plane as u64) << 8 | self.length as u64
    }

    /// The prefix of a key's last word; `None` when it is none.
    #[must_use]
    pub const fn of_tag(tag: u64) -> Option<Self> {
        let (plane, most) = match tag >> 8 {
            0 => (Plane::V4, 32),
            1 => (Plane::V6, 128),
            _ => return None,
        };
        let length = (tag & 0xff) as u32;
        if length == 0 || length > most {
            return None;
        }
        Some(Self { plane, length })
    }

    /// The key of that many bits of `address`.
    #[must_use]
    #[inline(always)]
    pub const fn key(self, address: Address) -> BanKey {
        let (high, low) = if self.length > 64 {
            (address.high, address.low & u64::MAX << ((128 - self.length) & 63))
        } else {
            (address.high & u64::MAX << ((64 - self.length) & 63), 0)
        };
        [high, low, self.tag()]
    }

    /// Where prefixes of this length are marked: the word among the first of the filter, and the bit in it.
    #[must_use]
    pub const fn length_mark(self) -> (Lengths, u64) {
        match self.plane {
            Plane::V4 => (Lengths::V4, 1 << ((64 - self.length) & 63)),
            Plane::V6 if self.length > 64 => (Lengths::Long6, 1 << ((128 - self.length) & 63)),
            Plane::V6 => (Lengths::Short6, 1 << ((64 - self.length) & 63)),
        }
    }
}

/// The words of lengths in use: which bits a longest-first walk finds from the lowest on. Length `n` of IPv4, and up to 64 of IPv6, is bit
/// `64 - n`; a longer one is bit `128 - n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Lengths {
    /// IPv4.
    V4 = 0,
    /// IPv6, 1 to 64 bits.
    Short6 = 1,
    /// IPv6, 65 to 128 bits.
    Long6 = 2,
}

impl Lengths {
    /// How many words.
    pub const COUNT: usize = 3;
}

/// How IPv6 prefixes that are not narrow are marked, by their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// 48 to 63 bits: a bit by a hash of the first 48.
    Site,
    /// 32 to 47 bits: a bit by a hash of the first 32, among those of sites.
    Provider,
    /// Shorter: a bit for each of the first 20 bits that the prefix covers.
    Wide,
}

impl Grain {
    /// The lengths of this grain among [`Lengths::Short6`].
    #[must_use]
    #[inline(always)]
    pub const fn short_lengths(self) -> u64 {
        match self {
            Self::Site => (1 << (64 - 48 + 1)) - 1 - NARROW6,
            Self::Provider => (1 << (64 - 32 + 1)) - (1 << (64 - 48 + 1)),
            Self::Wide => u64::MAX << (64 - 32 + 1),
        }
    }
}

/// The filter's bit of an IPv4 source: one for each /24.
#[must_use]
#[inline(always)]
pub const fn bit4(address: Address) -> u32 {
    (address.high >> 40) as u32
}

/// The filter's bit of an IPv6 source, for prefixes of that grain.
///
/// A multiplicative hash (Knuth, TAOCP volume 3, section 6.4). Whoever knows it can choose sources that meet the bits of others: each of
/// their packets then costs what one from a banned address costs, and no more.
#[must_use]
#[inline(always)]
pub const fn bit6(address: Address, grain: Grain) -> u32 {
    match grain {
        Grain::Site => SITES.start + ((address.high >> 16).wrapping_mul(FACTOR) >> 40) as u32,
        Grain::Provider => SITES.start + ((address.high >> 32).wrapping_mul(FACTOR) >> 40) as u32,
        Grain::Wide => WIDE.start + (address.high >> 44) as u32,
    }
}

/// The length of narrow bans of IPv4: hosts, among [`Lengths::V4`].
pub const NARROW4: u64 = 1 << (64 - 32);

/// The length of narrow bans of IPv6, 64 bits, among [`Lengths::Short6`]. All of [`Lengths::Long6`] are narrow too.
pub const NARROW6: u64 = 1;

/// The word of a source, and the bits in it, that a narrow ban of it sets: a Bloom filter whose bits of one key stand in one word, so
/// that it is one read (Putze, Sanders and Singler, 2007). Of one source in a hundred that is not banned it says that it may be.
///
/// `class` is its size, which word [`NARROW_CLASS`] of the filter tells: few bans take few pages, which stay in the caches. Each size has
/// a place of its own, so that a store of that word goes from one to another.
#[must_use]
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 24 bits are left of the hash"
)]
pub const fn narrow_bits(address: Address, class: u32) -> (u32, u64) {
    // The fold gives an IPv4 address low bits too: a product's high bits are mixed, its low ones are not.
    let hash = (address.high ^ address.high >> 32).wrapping_mul(FACTOR);
    let mask = 1 << (hash >> 40 & 63) | 1 << (hash >> 34 & 63) | 1 << (hash >> 28 & 63);
    // What no filter has for a class leads outside of it, where all bits are set.
    let class = class & 15;
    let first = filter_word(NARROW_START) + (NARROW_LEAST << class) - NARROW_LEAST;
    (first + (hash >> (55 - class)) as u32, mask)
}

/// The class for so many narrow bans: at least 16 bits for each.
#[must_use]
pub const fn narrow_class(bans: u32) -> u32 {
    let mut class = 0;
    while class < NARROW_CLASSES - 1 && NARROW_LEAST << class < bans.div_ceil(4) {
        class += 1;
    }
    class
}

/// The word of the filter that tells the class.
pub const NARROW_CLASS: u32 = 3;

/// Sizes of the Bloom filter.
pub const NARROW_CLASSES: u32 = 10;

/// The word and the bits that a ban of this prefix sets, if it is narrow.
#[must_use]
pub const fn narrow_mark(prefix: Prefix, [high, low, _]: BanKey, class: u32) -> Option<(u32, u64)> {
    match (prefix.plane, prefix.length) {
        (Plane::V4, 32..) | (Plane::V6, 64..) => Some(narrow_bits(Address { high, low }, class)),
        _ => None,
    }
}

/// The bits that a ban of this prefix marks, if it is not narrow: all that addresses in it ask for.
#[must_use]
pub const fn marks(prefix: Prefix, [high, low, _]: BanKey) -> Range<u32> {
    let address = Address { high, low };
    let (first, count) = match (prefix.plane, prefix.length) {
        (Plane::V4, 32..) | (Plane::V6, 64..) => (0, 0),
        (Plane::V4, 24..) => (bit4(address), 1),
        (Plane::V4, length) => (bit4(address), 1 << (24 - length)),
        (Plane::V6, 48..) => (bit6(address, Grain::Site), 1),
        (Plane::V6, 32..) => (bit6(address, Grain::Provider), 1),
        (Plane::V6, 20..) => (bit6(address, Grain::Wide), 1),
        (Plane::V6, length) => (bit6(address, Grain::Wide), 1 << (20 - length)),
    };
    first..first + count
}

/// The word of a bit, among all of the filter.
#[must_use]
#[inline(always)]
pub const fn filter_word(bit: u32) -> u32 {
    FILTER_HEADER + (bit >> 6)
}

/// 64-bit words of the filter: 8.1 MiB.
pub const FILTER_WORDS: u32 = filter_word(NARROW_START) + (NARROW_LEAST << NARROW_CLASSES) - NARROW_LEAST;

/// Words before the bits: [`Lengths`], [`NARROW_CLASS`], and room up to a whole cache line.
const FILTER_HEADER: u32 = 8;
const SITES: Range<u32> = 1 << 24..2 << 24;
const WIDE: Range<u32> = SITES.end..SITES.end + (1 << 20);
const NARROW_START: u32 = WIDE.end;
/// Words of the smallest Bloom filter, a page; the `n`-th is `2^n` times as large, and the last 2 MiB.
const NARROW_LEAST: u32 = 512;
/// An odd number near 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

const _: () = assert!(NARROW_CLASS as usize >= Lengths::COUNT && NARROW_CLASS < FILTER_HEADER);
