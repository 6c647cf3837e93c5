//! Limits: their numbers in the tables of a generation, and the shapes of buckets, which all generations share.

use super::{Plane, RULE_SLOTS, WAYS_PER_LINE, line_words};
use crate::packet::Address;

/// 64-bit words of a [`LimitRecord`].
pub const LIMIT_WORDS: usize = 5;

/// A [`Limit`], packed.
pub type LimitRecord = [u64; LIMIT_WORDS];

/// 64-bit words of a [`BucketKey`].
pub const BUCKET_KEY_WORDS: usize = 3;

/// Whose bucket it is: the limit, and who shares it. See [`Limit::key`].
pub type BucketKey = [u64; BUCKET_KEY_WORDS];

/// 64-bit words of a [`BucketRecord`].
pub const BUCKET_WORDS: usize = 2;

/// A bucket: when it was last filled up to, in nanoseconds of the flow clock, and the credits in it. Programs on any processor change
/// each word by compare and swap.
pub type BucketRecord = [u64; BUCKET_WORDS];

/// The words of a [`BucketRecord`].
pub mod bucket {
    /// When it was last filled up to.
    pub const LAST: usize = 0;
    /// The credits in it.
    pub const CREDITS: usize = 1;
}

/// A source that is known: its family, and the first 64 bits of its address.
pub type SourceKey = [u32; 3];

/// What a limit is called where its numbers are kept: who owns it, and its stamp.
pub type LimitKey = [u32; 2];

/// Buckets of known sources for which there is always room, and as many of others. A bound on what a flood of forged sources can take: 12 MiB
/// of 24.
pub const BUCKETS: u32 = 100_000;

/// Lines of their table: for each kind more than twice as many ways as there are to be buckets, so that no line is full before the table is.
pub const BUCKET_LINES: u32 = (4 * BUCKETS / WAYS_PER_LINE).next_power_of_two();

/// Lines of the table of buckets that belong to limits, for the same reason.
pub const OWN_BUCKET_LINES: u32 = (OWN_BUCKETS / WAYS_PER_LINE).next_power_of_two();

/// 64-bit words of a line of any of the tables of buckets.
pub const BUCKET_LINE: usize = line_words(BUCKET_KEY_WORDS, BUCKET_WORDS);

/// Sources that are known. A bound on what clients that complete handshakes can take; the one that was asked for longest ago gives way.
pub const SOURCES: u32 = 1 << 17;

/// Buckets that belong to a limit and not to a source: those of two generations, while one follows the other. Only policies make them, so
/// nobody outside can fill the table.
pub const OWN_BUCKETS: u32 = 2 * (RULE_SLOTS + INTERFACES);

/// Limits whose numbers are kept beside the buckets, of two generations.
pub const LIMITS: u32 = 2 * (RULE_SLOTS + 1);

/// Interfaces that can have a budget each: as many as a policy can name.
const INTERFACES: u32 = 256;

/// Who owns the budget of SYNs: no rule's slot is so high.
pub const SYN_BUDGET: u32 = u32::MAX >> KIND_BITS;

/// What comes to pass in the tables of buckets: the index of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LimitTables {
    /// A source got a bucket of its own.
    Made = 0,
    /// A source found no room, and takes from the bucket that all such sources of its limit share; counted each time it does.
    TableFull = 1,
    /// A bucket that belongs to a limit found no room: the packet was denied.
    NoRoom = 2,
    /// A bucket was changed by others each time that this processor tried to: the packet was denied.
    Contended = 3,
}

impl LimitTables {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNTERS as usize] =
        [Self::Made, Self::TableFull, Self::NoRoom, Self::Contended];

    /// How many counters there are.
    pub const COUNTERS: u32 = 4;

    /// The word in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::TableFull => "table_full",
            Self::NoRoom => "no_room",
            Self::Contended => "contended",
        }
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Measure {
    /// Packets.
    Packets = 0,
    /// Bytes of whole frames.
    Bytes = 1,
    /// Packets that no flow lets through.
    NewFlows = 2,
}

/// Prefix lengths that make an address a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceLengths {
    /// Of IPv4: 1 to 32.
    pub v4: u8,
    /// Of IPv6: 1 to 128.
    pub v6: u8,
}

/// The numbers of a limit. A token is `per` credits; each nanosecond brings `count` of them: `count` tokens in `per` nanoseconds, without a
/// division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Credits that come in a nanosecond.
    pub count: u64,
    /// Credits of a token.
    pub per: u64,
    /// Tokens of a full bucket.
    pub burst: u64,
    /// Nanoseconds after which an empty bucket is full.
    pub fill: u64,
    /// What takes a token.
    pub measure: Measure,
    /// What makes an address a source; `None`: all share one bucket.
    pub sources: Option<SourceLengths>,
    /// Changes with any of the numbers: a bucket of other numbers is another bucket.
    pub stamp: u32,
}

/// Who shares a bucket: the low bits of the first word of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Sharing {
    /// An IPv4 source.
    Source4 = 0,
    /// An IPv6 source.
    Source6 = 1,
    /// All that the limit is about, or all sources that found no room.
    All = 2,
    /// All that comes in on an interface.
    Interface = 3,
}

const KIND_BITS: u32 = 2;

impl Limit {
    /// The most tokens that a full bucket can have, where a token is `per` credits.
    #[must_use]
    pub const fn most(per: u64) -> u64 {
        MOST_CREDITS / per
    }

    /// The limit of `count` tokens in `per` nanoseconds. `None` when one of the numbers is 0, or a full bucket has more credits than fit
    /// 63 bits.
    #[must_use]
    pub fn new(
        count: u64,
        per: u64,
        burst: u64,
        measure: Measure,
        sources: Option<SourceLengths>,
    ) -> Option<Self> {
        if count == 0 || per == 0 || burst == 0 || burst > Self::most(per) {
            return None;
        }
        let lengths = sources.map_or(0, |lengths| u64::from(lengths.v4) << 8 | u64::from(lengths.v6));
        let stamp = stamp(&[count, per, burst, measure as u64, lengths]);
        Some(Self {
            count,
            per,
            burst,
            fill: (burst * per).div_ceil(count),
            measure,
            sources,
            stamp,
        })
    }

    /// Credits of a full bucket.
    #[must_use]
    #[inline(always)]
    pub const fn capacity(&self) -> u64 {
        self.burst.wrapping_mul(self.per)
    }

    /// The record.
    #[must_use]
    pub const fn pack(&self) -> LimitRecord {
        let (v4, v6) = match self.sources {
            Some(SourceLengths { v4, v6 }) => (v4, v6),
            None => (0, 0),
        };
        let about = (self.stamp as u64) << 32 | (self.measure as u64) << 16 | (v4 as u64) << 8 | v6 as u64;
        [self.count, self.per, self.burst, self.fill, about]
    }

    /// The limit of a record.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "fields of a word")]
    pub const fn unpack(record: &LimitRecord) -> Self {
        let [count, per, burst, fill, about] = *record;
        Self {
            count,
            per,
            burst,
            fill,
            measure: match about >> 16 & 3 {
                0 => Measure::Packets,
                1 => Measure::Bytes,
                _ => Measure::NewFlows,
            },
            sources: match about & 0xffff {
                0 => None,
                _ => Some(SourceLengths {
                    v4: (about >> 8) as u8,
                    v6: about as u8,
                }),
            },
            stamp: (about >> 32) as u32,
        }
    }

    /// The key of the bucket of `owner`, a rule's counter slot or [`SYN_BUDGET`], that `sharing` share, who are called `who`.
    #[must_use]
    #[inline(always)]
    pub const fn key(&self, owner: u32, sharing: Sharing, who: Address) -> BucketKey {
        let whose = (self.stamp as u64) << 32 | (owner << KIND_BITS | sharing as u32) as u64;
        [whose, who.high, who.low]
    }

    /// What is left of a bucket at `now`, in tokens.
    #[must_use]
    pub fn level(&self, record: &BucketRecord, now: u64) -> u64 {
        let elapsed = now.saturating_sub(record[bucket::LAST]);
        if elapsed >= self.fill {
            return self.burst;
        }
        let credits = record[bucket::CREDITS].saturating_add(elapsed.saturating_mul(self.count));
        credits.min(self.capacity()) / self.per
    }

    /// Whether a bucket is full at `now`: one that is made anew would be the same.
    #[must_use]
    pub fn is_full(&self, record: &BucketRecord, now: u64) -> bool {
        let elapsed = now.saturating_sub(record[bucket::LAST]);
        let earned = elapsed.saturating_mul(self.count);
        elapsed >= self.fill || record[bucket::CREDITS].saturating_add(earned) >= self.capacity()
    }
}

/// The source of an address.
#[must_use]
#[inline(always)]
pub const fn source_of(plane: Plane, address: Address, lengths: SourceLengths) -> Address {
    let length = match plane {
        Plane::V4 => lengths.v4,
        Plane::V6 => lengths.v6,
    } as u32;
    if length > 64 {
        return Address {
            high: address.high,
            low: address.low & first_bits(length - 64),
        };
    }
    Address {
        high: address.high & first_bits(length),
        low: 0,
    }
}

/// The first bits of 64, 1 to 64 of them.
#[inline(always)]
const fn first_bits(length: u32) -> u64 {
    u64::MAX << (64u32.wrapping_sub(length) & 63)
}

/// How a source is known: by its address, in IPv6 by its /64, which one host may have all of.
#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the halves of a 64-bit word")]
pub const fn source_key(plane: Plane, address: Address) -> SourceKey {
    [(address.high >> 32) as u32, address.high as u32, plane as u32]
}

/// Who owns a bucket, and with whom it is shared.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the halves of a 64-bit word")]
pub const fn bucket_owner(key: &BucketKey) -> (LimitKey, Sharing) {
    let [whose, ..] = *key;
    let (first, stamp) = (whose as u32, (whose >> 32) as u32);
    let sharing = match first & 3 {
        0 => Sharing::Source4,
        1 => Sharing::Source6,
        2 => Sharing::All,
        _ => Sharing::Interface,
    };
    ([first >> KIND_BITS, stamp], sharing)
}

/// What the sharers of a bucket are called.
#[must_use]
pub const fn bucket_sharers(key: &BucketKey) -> Address {
    let [_, high, low] = *key;
    Address { high, low }
}

/// FNV-1a, 32 bits: no secret, two limits that follow each other under one name have to differ.
fn stamp(numbers: &[u64]) -> u32 {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Sums of two such numbers fit 64 bits.
const MOST_CREDITS: u64 = u64::MAX >> 1;

const _: () = assert!(RULE_SLOTS < SYN_BUDGET);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_a_limit() {
        for measure in [Measure::Packets, Measure::Bytes, Measure::NewFlows] {
            for sources in [
                None,
                Some(SourceLengths { v4: 32, v6: 64 }),
                Some(SourceLengths { v4: 1, v6: 128 }),
            ] {
                let limit = Limit::new(3, 60_000_000_000, 5, measure, sources).unwrap();
                assert_eq!(Limit::unpack(&limit.pack()), limit);
                assert_eq!(limit.fill, 100_000_000_000);
            }
        }
    }

    #[test]
    fn a_bucket_that_does_not_fit_63_bits_is_no_limit() {
        let hour = 3_600_000_000_000;
        let most = Limit::most(hour);
        assert!(Limit::new(1, hour, most, Measure::Packets, None).is_some());
        assert!(Limit::new(1, hour, most + 1, Measure::Packets, None).is_none());
        for zero in [
            Limit::new(0, 1, 1, Measure::Packets, None),
            Limit::new(1, 0, 1, Measure::Packets, None),
            Limit::new(1, 1, 0, Measure::Packets, None),
        ] {
            assert!(zero.is_none());
        }
    }

    #[test]
    fn each_number_changes_the_stamp() {
        let of = |count, per, burst, measure, sources| {
            Limit::new(count, per, burst, measure, sources).unwrap().stamp
        };
        let lengths = |v4, v6| Some(SourceLengths { v4, v6 });
        let all = [
            of(2, 9, 4, Measure::Packets, None),
            of(3, 9, 4, Measure::Packets, None),
            of(2, 8, 4, Measure::Packets, None),
            of(2, 9, 5, Measure::Packets, None),
            of(2, 9, 4, Measure::Bytes, None),
            of(2, 9, 4, Measure::Packets, lengths(32, 64)),
            of(2, 9, 4, Measure::Packets, lengths(24, 64)),
            of(2, 9, 4, Measure::Packets, lengths(32, 56)),
        ];
        for (at, stamp) in all.iter().enumerate() {
            assert!(!all[..at].contains(stamp), "{at}");
        }
    }

    #[test]
    fn a_source_is_the_first_bits_of_its_address() {
        let v4 = Address::v4([198, 51, 100, 7]);
        let lengths = SourceLengths { v4: 24, v6: 56 };
        assert_eq!(source_of(Plane::V4, v4, lengths), Address::v4([198, 51, 100, 0]));
        let all = Address {
            high: u64::MAX,
            low: u64::MAX,
        };
        let of = |v6| source_of(Plane::V6, all, SourceLengths { v4: 32, v6 });
        assert_eq!(
            of(1),
            Address {
                high: 1 << 63,
                low: 0
            }
        );
        assert_eq!(of(56), Address { high: !0xff, low: 0 });
        assert_eq!(
            of(64),
            Address {
                high: u64::MAX,
                low: 0
            }
        );
        assert_eq!(
            of(65),
            Address {
                high: u64::MAX,
                low: 1 << 63
            }
        );
        assert_eq!(of(128), all);
    }

    #[test]
    fn a_key_says_whose_bucket_it_is() {
        let limit = Limit::new(1, 1, 1, Measure::Packets, None).unwrap();
        let address = Address {
            high: 0x0102_0304_0506_0708,
            low: 9,
        };
        for sharing in [
            Sharing::Source4,
            Sharing::Source6,
            Sharing::All,
            Sharing::Interface,
        ] {
            for slot in [0, RULE_SLOTS - 1, SYN_BUDGET] {
                let key = limit.key(slot, sharing, address);
                assert_eq!(bucket_owner(&key), ([slot, limit.stamp], sharing));
                assert_eq!(bucket_sharers(&key), address);
            }
        }
    }
}
