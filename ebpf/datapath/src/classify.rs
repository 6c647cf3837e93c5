//! Facts × tables → the first matching rule. No bytes, no maps, no time.
//!
//! Each dimension maps its value to an equivalence class (values that no rule tells apart) by a number of reads that does
//! not grow with the rules: source and destination through a trie, protocol, ports, ICMP type and TCP flags (together:
//! the *service*) through small tables. The three classes then combine to the first matching rule in one of two ways,
//! chosen by the compiler for the policy at hand: cross-product tables (Gupta and McKeown, "Packet Classification on
//! Multiple Fields", SIGCOMM 1999) or aggregated bit vectors (Baboescu and Varghese, "Scalable Packet Classification",
//! SIGCOMM 2001).

mod address;
mod combine;
mod context;
mod service;

use self::address::Lookup;
use crate::Tables;
use crate::packet::{Address, Packet};
use crate::wire::{Plane, Setting};

pub(crate) use context::{context, interface};

/// The class of a source address, with a mark on sources that cannot come from the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceClass(u32);

impl SourceClass {
    /// Set in the class of a source that is spoofed wherever it comes in.
    pub const SPOOFED: u32 = 1 << 30;

    /// Set in the class of a source that is spoofed on the interfaces of some zones.
    pub const ZONED: u32 = 1 << 29;

    /// The class, without the marks.
    #[inline(always)]
    pub(crate) const fn number(self) -> u32 {
        self.0 & !(Self::SPOOFED | Self::ZONED)
    }
}

/// A rule that matched, or none: the rule's index plus one, or zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstMatch(u32);

impl FirstMatch {
    /// No rule matched.
    pub const NONE: Self = Self(0);

    /// This rule matched.
    #[must_use]
    pub const fn rule(index: u32) -> Self {
        Self(index + 1)
    }

    /// The word in a table.
    #[must_use]
    pub const fn pack(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn index(self) -> Option<u32> {
        self.0.checked_sub(1)
    }
}

/// The classes of a packet in the dimensions that combine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Classes {
    /// Of its source, without marks.
    pub source: u32,
    /// Of its destination.
    pub destination: u32,
    /// Of its service, and of the interface and the time where rules ask for them.
    pub service: u32,
}

/// What the walk through bit vectors found, in one register: the deciding match in the low half, the observing one in the high
/// half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked(pub u64);

impl Walked {
    /// The walk left its tables. No match is so high: rules are fewer than 2^32 - 1.
    pub const FAULT: Self = Self(u64::MAX);
}

/// What the walk through the rules found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The rule that decides.
    pub(crate) decided: FirstMatch,
    /// The first observing rule met on the way.
    pub(crate) observed: FirstMatch,
}

impl Found {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        decided: FirstMatch::NONE,
        observed: FirstMatch::NONE,
    };

    /// Both from one table entry: the deciding match in the low half, the observing one in the high half.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a 64-bit word")]
    pub(crate) const fn of_double(double: u64) -> Self {
        Self {
            decided: FirstMatch(double as u32),
            observed: FirstMatch((double >> 32) as u32),
        }
    }

    #[inline(always)]
    const fn double(self) -> u64 {
        (self.observed.0 as u64) << 32 | self.decided.0 as u64
    }
}

/// How the three classes combine: the value of [`Setting::Combine4`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Combine {
    /// No rule can match in this family.
    Nothing = 0,
    /// Two dimensions → pair; pair × the third → rule.
    CrossProduct = 1,
    /// One bit a row; the vectors of the three classes are and-ed.
    BitVectors = 2,
}

#[inline(always)]
const fn source_lookup<const PLANE: u8>() -> Lookup {
    if PLANE == Plane::V4 as u8 {
        Lookup {
            root_bits: Setting::SourceRootBits4,
            root: Setting::SourceRoot4,
            levels: Setting::SourceLevels4,
            stride: Setting::SourceStride4,
            lanes: Setting::SourceLanes4,
            lane_bits: Setting::SourceLaneBits4,
            ones_low: Setting::SourceOnesLow4,
            ones_high: Setting::SourceOnesHigh4,
            lists: Setting::SourceLists4,
            bitmap_bits: Setting::SourceBitmapBits4,
            bitmap: Setting::SourceBitmap4,
            bitmap_class: Setting::SourceBitmapClass4,
        }
    } else {
        Lookup {
            root_bits: Setting::SourceRootBits6,
            root: Setting::SourceRoot6,
            levels: Setting::SourceLevels6,
            stride: Setting::SourceStride6,
            lanes: Setting::SourceLanes6,
            lane_bits: Setting::SourceLaneBits6,
            ones_low: Setting::SourceOnesLow6,
            ones_high: Setting::SourceOnesHigh6,
            lists: Setting::SourceLists6,
            bitmap_bits: Setting::SourceBitmapBits6,
            bitmap: Setting::SourceBitmap6,
            bitmap_class: Setting::SourceBitmapClass6,
        }
    }
}

#[inline(always)]
const fn destination_lookup<const PLANE: u8>() -> Lookup {
    if PLANE == Plane::V4 as u8 {
        Lookup {
            root_bits: Setting::DestinationRootBits4,
            root: Setting::DestinationRoot4,
            levels: Setting::DestinationLevels4,
            stride: Setting::DestinationStride4,
            lanes: Setting::DestinationLanes4,
            lane_bits: Setting::DestinationLaneBits4,
            ones_low: Setting::DestinationOnesLow4,
            ones_high: Setting::DestinationOnesHigh4,
            lists: Setting::DestinationLists4,
            bitmap_bits: Setting::DestinationBitmapBits4,
            bitmap: Setting::DestinationBitmap4,
            bitmap_class: Setting::DestinationBitmapClass4,
        }
    } else {
        Lookup {
            root_bits: Setting::DestinationRootBits6,
            root: Setting::DestinationRoot6,
            levels: Setting::DestinationLevels6,
            stride: Setting::DestinationStride6,
            lanes: Setting::DestinationLanes6,
            lane_bits: Setting::DestinationLaneBits6,
            ones_low: Setting::DestinationOnesLow6,
            ones_high: Setting::DestinationOnesHigh6,
            lists: Setting::DestinationLists6,
            bitmap_bits: Setting::DestinationBitmapBits6,
            bitmap: Setting::DestinationBitmap6,
            bitmap_class: Setting::DestinationBitmapClass6,
        }
    }
}

/// Which two dimensions a cross product pairs: the value of [`Setting::Pairing4`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Pairing {
    /// Source and destination; the service is the third.
    SourceDestination = 0,
    /// Source and service; the destination is the third.
    SourceService = 1,
    /// Destination and service; the source is the third.
    DestinationService = 2,
}

impl Pairing {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::SourceDestination,
        Self::SourceService,
        Self::DestinationService,
    ];

    /// The two, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::SourceDestination => "source × destination",
            Self::SourceService => "source × service",
            Self::DestinationService => "destination × service",
        }
    }
}

/// The class of a source address.
#[inline(always)]
pub(crate) fn source<const PLANE: u8, T: Tables>(tables: &T, address: Address) -> Option<SourceClass> {
    address::class::<PLANE, T>(tables, address, source_lookup::<PLANE>()).map(SourceClass)
}

/// Whether a source of that class cannot come from the wire, on an interface of that zone.
#[inline(always)]
pub(crate) fn spoofed<const PLANE: u8>(tables: &impl Tables, class: SourceClass, zone: u32) -> Option<bool> {
    if class.0 & SourceClass::SPOOFED != 0 {
        return Some(true);
    }
    if tables.setting(Setting::ZonesUsed) == 0 || zone == 0 || class.0 & SourceClass::ZONED == 0 {
        return Some(false);
    }
    let zones = tables.setting(if PLANE == Plane::V4 as u8 {
        Setting::Zones4
    } else {
        Setting::Zones6
    });
    let zones = tables.word(zones.wrapping_add(class.number()))?;
    Some(zones >> (zone & 31) & 1 == 1)
}

/// The first rule that matches.
#[inline(always)]
pub(crate) fn first_match<const PLANE: u8>(
    tables: &impl Tables,
    packet: &Packet,
    source: u32,
    context: u32,
) -> Option<Found> {
    if combine_of::<PLANE>(tables) == Combine::Nothing as u32 {
        return Some(Found::NONE);
    }
    combined::<PLANE>(tables, classes::<PLANE>(tables, packet, source, context)?)
}

/// The classes of a packet, whose source has that one.
#[inline(always)]
pub(crate) fn classes<const PLANE: u8>(
    tables: &impl Tables,
    packet: &Packet,
    source: u32,
    context: u32,
) -> Option<Classes> {
    if combine_of::<PLANE>(tables) == Combine::Nothing as u32 {
        return Some(Classes::default());
    }
    let destination = address::class::<PLANE, _>(tables, packet.destination, destination_lookup::<PLANE>())?;
    let service = service::class(tables, packet)?;
    let service = context::service(tables, service, context)?;
    Some(Classes {
        source,
        destination,
        service,
    })
}

/// The first rule that matches a packet of these classes.
#[inline(always)]
pub(crate) fn combined<const PLANE: u8>(tables: &impl Tables, classes: Classes) -> Option<Found> {
    let combine = combine_of::<PLANE>(tables);
    if combine == Combine::Nothing as u32 {
        return Some(Found::NONE);
    }
    if combine == Combine::CrossProduct as u32 {
        return combine::cross_product::<PLANE>(tables, classes);
    }
    match tables.walk::<PLANE>(classes) {
        Walked::FAULT => None,
        Walked(double) => Some(Found::of_double(double)),
    }
}

#[inline(always)]
fn combine_of<const PLANE: u8>(tables: &impl Tables) -> u32 {
    tables.setting(if PLANE == Plane::V4 as u8 {
        Setting::Combine4
    } else {
        Setting::Combine6
    })
}

/// The first rule that matches, by bit vectors.
#[inline(always)]
#[must_use]
pub fn walk<const PLANE: u8>(tables: &impl Tables, classes: Classes) -> Walked {
    match combine::bit_vectors::<PLANE>(tables, classes) {
        Some(found) => Walked(found.double()),
        None => Walked::FAULT,
    }
}
