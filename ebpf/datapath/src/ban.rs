//! Whether a source is banned: the step between the essentials and the rules.
//!
//! The filter first: nearly every source that is not banned ends at a bit that is clear. Then every length of prefix that bans have,
//! longest first; and where a ban covers the source, every length of prefix that is never banned.

use crate::packet::Address;
use crate::wire::{
    BanKey, Grain, Lengths, NARROW_CLASS, NARROW4, NARROW6, Plane, Prefix, bit4, bit6, filter_word,
    narrow_bits,
};

/// What the judgement of a packet asks about bans.
pub trait Bans {
    /// The lengths of prefixes that bans may have now; without any, nobody of the family is banned.
    fn lengths(&self, lengths: Lengths) -> u64;

    /// Whether the source is banned, when bans of its family are there: [`behind_filter`]. A seam, as [`crate::Tables::walk`] is.
    fn holds<const PLANE: u8>(&self, source: Address) -> bool;
}

/// Who holds bans: the seam between this step and its maps.
pub trait BanTables {
    /// The word at `index` of the filter. Outside of it all bits are set: a fault costs a search and lets nobody in.
    fn filter(&self, index: u32) -> u64;

    /// When the ban of exactly that prefix ends, in nanoseconds since boot.
    fn end(&self, key: BanKey) -> Option<u64>;

    /// The lengths of prefixes that are never banned.
    fn never_lengths(&self, lengths: Lengths) -> u64;

    /// Whether exactly that prefix is never banned.
    fn never(&self, key: BanKey) -> bool;

    /// Nanoseconds since boot, suspended time counted.
    fn now(&self) -> u64;

    /// [`search`] here. A seam, as [`crate::Tables::walk`] is.
    #[inline(always)]
    fn search(&self, asked: Asked) -> bool
    where
        Self: Sized,
    {
        search(self, asked)
    }
}

impl<T: BanTables> Bans for T {
    #[inline(always)]
    fn lengths(&self, lengths: Lengths) -> u64 {
        self.filter(lengths as u32)
    }

    #[inline(always)]
    fn holds<const PLANE: u8>(&self, source: Address) -> bool {
        behind_filter::<PLANE>(self, source)
    }
}

/// A world without bans.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBans;

impl Bans for NoBans {
    fn lengths(&self, _: Lengths) -> u64 {
        0
    }

    fn holds<const PLANE: u8>(&self, _: Address) -> bool {
        false
    }
}

/// What is searched for: an address, and the lengths that bans of it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The source.
    pub address: Address,
    /// The family.
    pub plane: Plane,
    /// Lengths above 64; none for IPv4.
    pub long: u64,
    /// Lengths up to 64.
    pub short: u64,
}

/// Whether the source is banned now. While nobody of its family is, this is a read of one word, or two.
#[inline(always)]
pub(crate) fn banned<const PLANE: u8>(bans: &impl Bans, address: Address) -> bool {
    let lengths = if PLANE == Plane::V4 as u8 {
        bans.lengths(Lengths::V4)
    } else {
        bans.lengths(Lengths::Short6) | bans.lengths(Lengths::Long6)
    };
    lengths != 0 && bans.holds::<PLANE>(address)
}

/// Whether a source is banned, when bans of its family are there.
#[inline(always)]
pub fn behind_filter<const PLANE: u8>(bans: &impl BanTables, address: Address) -> bool {
    let asked = if PLANE == Plane::V4 as u8 {
        let lengths = bans.filter(Lengths::V4 as u32);
        let mut short = 0;
        if lengths & NARROW4 != 0 && narrow(bans, address) {
            short = NARROW4;
        }
        let wider = lengths & !NARROW4;
        if wider != 0 && marked(bans, bit4(address)) {
            short |= wider;
        }
        Asked {
            address,
            plane: Plane::V4,
            long: 0,
            short,
        }
    } else {
        let lengths = bans.filter(Lengths::Short6 as u32);
        let mut long = bans.filter(Lengths::Long6 as u32);
        let mut short = lengths & NARROW6;
        if (long | short) != 0 && !narrow(bans, address) {
            (long, short) = (0, 0);
        }
        for grain in [Grain::Site, Grain::Provider, Grain::Wide] {
            let of_grain = lengths & grain.short_lengths();
            if of_grain != 0 && marked(bans, bit6(address, grain)) {
                short |= of_grain;
            }
        }
        Asked {
            address,
            plane: Plane::V6,
            long,
            short,
        }
    };
    (asked.long | asked.short) != 0 && bans.search(asked)
}

#[inline(always)]
fn narrow(bans: &impl BanTables, address: Address) -> bool {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is no class leads outside of the filter"
    )]
    let class = bans.filter(NARROW_CLASS) as u32;
    let (word, mask) = narrow_bits(address, class);
    bans.filter(word) & mask == mask
}

#[inline(always)]
fn marked(bans: &impl BanTables, bit: u32) -> bool {
    bans.filter(filter_word(bit)) >> (bit & 63) & 1 != 0
}

/// Whether a live ban of one of these lengths covers the address, and nothing says that it is never banned.
#[inline(always)]
pub fn search(bans: &impl BanTables, asked: Asked) -> bool {
    // The clock is read where there is an end to compare with it, once is enough for a packet, and most have none.
    let live = |key| bans.end(key).is_some_and(|end| bans.now() < end);
    if !any(asked, live) {
        return false;
    }
    let never = |lengths| bans.never_lengths(lengths);
    let (long, short) = match asked.plane {
        Plane::V4 => (0, never(Lengths::V4)),
        Plane::V6 => (never(Lengths::Long6), never(Lengths::Short6)),
    };
    !any(Asked { long, short, ..asked }, |key| bans.never(key))
}

/// Whether one of the prefixes of these lengths is there, longest first.
#[inline(always)]
fn any(asked: Asked, there: impl Fn(BanKey) -> bool) -> bool {
    let Asked {
        address,
        plane,
        mut long,
        mut short,
    } = asked;
    // A bound that the verifier sees: a word has 64 bits.
    for _ in 0..64 {
        if long == 0 {
            break;
        }
        let length = 128 - long.trailing_zeros();
        long &= long - 1;
        if there(Prefix { plane, length }.key(address)) {
            return true;
        }
    }
    for _ in 0..64 {
        if short == 0 {
            break;
        }
        let length = 64 - short.trailing_zeros();
        short &= short - 1;
        if there(Prefix { plane, length }.key(address)) {
            return true;
        }
    }
    false
}
