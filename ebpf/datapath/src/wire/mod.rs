//! What crosses the line between user space and the kernel: shapes of map keys and values, and their numbers.
//!
//! Compiler (`rules`) and daemon write these, the packet path reads them. Every value is a plain array of integers, so
//! that both sides agree on the layout without a word of unsafe code.

mod bans;
mod flow;
mod hash_table;
mod limit;
mod proxied;
mod settings;
pub(crate) mod trie;

pub use bans::{
    BAN_REASON_BYTES, BAN_REASONS, BANS, BanKey, BanNote, BanValue, FILTER_WORDS, Grain, Lengths,
    NARROW_CLASS, NARROW_CLASSES, NARROW4, NARROW6, Prefix, bit4, bit6, filter_word, marks as ban_marks,
    narrow_bits, narrow_class, narrow_mark,
};
pub(crate) use flow::word;
pub use flow::{
    DATAGRAMS, Ends, FLOW_KEY_WORDS, FLOW_LINE, FLOW_LINES, FLOW_WORDS, FLOWS, Flow, FlowKey, FlowRecord,
    FlowTables, Stage, marks,
};
pub use hash_table::{Claimed, FINGERPRINT, HASH_NUMBERS, WAYS, Way, line_words};
pub(crate) use hash_table::{WAYS_PER_LINE, is_kept, is_taken, tag_difference};
pub use limit::{
    BUCKET_KEY_WORDS, BUCKET_LINE, BUCKET_LINES, BUCKET_WORDS, BUCKETS, BucketKey, BucketRecord, LIMIT_WORDS,
    LIMITS, Limit, LimitKey, LimitRecord, LimitTables, Measure, OWN_BUCKET_LINES, OWN_BUCKETS, SOURCES,
    SYN_BUDGET, Sharing, SourceKey, SourceLengths, bucket, bucket_owner, bucket_sharers, source_key,
    source_of,
};
pub use proxied::{MAX_PROXIED, PROBES, PROXIED_DOUBLES, ProxiedEntry, proxied_cell, proxied_entry};
pub use settings::{Plane, Setting, Settings};
pub(crate) use settings::{class_bits, verdict};
pub use trie::{Cell, FAR_DOUBLES, FAR_KEYS, Lanes, MAX_FAR_BITS, MAX_LANES};

use crate::{Direction, ParseClass, Reason, Verdict};

/// Raised whenever a shape in this module changes: pinned maps of another number are not ours.
pub const ABI: u32 = 5;

/// The words of all tables are a multiple of this many: the largest thing read at once is a 64-bit word.
pub const TABLE_ALIGNMENT: u32 = 2;

/// The most words that the tables of one generation can have: 512 MiB. The verifier lets an offset into a map's value be no
/// larger (`BPF_MAX_VAR_OFF`).
pub const MAX_TABLE_WORDS: u32 = (1 << 27) - TABLE_ALIGNMENT;

/// The longest rule name in the kernel's counter directory, with at least one terminating zero.
pub const RULE_NAME_BYTES: usize = 64;

/// Counters that rules can have at once over all generations. A bound: the per-CPU counter map is allocated whole.
pub const RULE_SLOTS: u32 = 16_384;

/// Rows that bit vectors can hold: four summary words of 64 data words of 64 rows.
pub const MAX_ROWS: u32 = 4 * 64 * 64;

/// The same in a policy with `next`: one summary word. The walk then carries a floor, the verifier follows it through every word that it
/// may stand in, and with four summaries it gives up at its million instructions.
pub const MAX_ROWS_WITH_NEXT: u32 = 64 * 64;

/// Moments that one generation can know: expiries of rules and entries. A bound on the search for the present one, and on
/// the tables, which grow with it.
pub const MAX_MOMENTS: u32 = 255;

/// Zones that interfaces can be in, at once: bits of a word, the lowest of which stands for no zone.
pub const MAX_ZONES: u32 = 31;

/// What the interface table says of one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceEntry {
    /// The class; 0 is that of every interface without an entry.
    pub class: u32,
    /// The zone, at most [`MAX_ZONES`]; 0: none.
    pub zone: u32,
}

impl InterfaceEntry {
    /// The word.
    #[must_use]
    pub const fn pack(self) -> u32 {
        self.zone << 16 | self.class
    }

    /// The entry of a word.
    #[must_use]
    #[inline(always)]
    pub const fn unpack(word: u32) -> Self {
        Self {
            class: word & 0xffff,
            zone: word >> 16,
        }
    }
}

/// Where an interface stands in a table of `2^bits` cells: multiplicative hashing (Knuth, TAOCP volume 3, section 6.4) with
/// a factor under which no two interfaces of the table meet.
#[must_use]
#[inline(always)]
pub const fn interface_cell(number: u32, factor: u32, bits: u32) -> u32 {
    number.wrapping_mul(factor) >> (32 - bits)
}

/// Elements of the reason counter map: one half a direction, with room for [`Reason`] to grow without a new map.
pub const REASON_COUNTERS: u32 = 2 * REASONS;
const REASONS: u32 = 128;

/// Elements of the class counter map: one half a direction.
pub const CLASS_COUNTERS: u32 = 2 * CLASSES;
const CLASSES: u32 = 32;

/// A per-CPU counter: packets, bytes.
pub type Counter = [u64; 2];

/// The index of a counter in the reason counter map.
#[must_use]
#[inline(always)]
pub const fn reason_counter(direction: Direction, reason: Reason, verdict: Verdict) -> u32 {
    direction as u32 * REASONS + reason as u32 * 2 + verdict as u32
}

/// The index of a counter in the class counter map.
#[must_use]
#[inline(always)]
pub const fn class_counter(direction: Direction, class: ParseClass) -> u32 {
    direction as u32 * CLASSES + class as u32
}

/// One word of the rule table: what a matched rule does, and where it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleEntry {
    /// The rule's action.
    pub verdict: Verdict,
    /// Whether the flow of what it allows is kept.
    pub stateful: bool,
    /// The number of its limit in the table of limits; 0: it has none.
    pub limit: u32,
    /// Its element in the rule counter map.
    pub slot: u32,
}

impl RuleEntry {
    /// The word.
    #[must_use]
    pub const fn pack(self) -> u32 {
        self.limit << LIMIT_SHIFT
            | (self.slot & (RULE_SLOTS - 1)) << 2
            | (self.stateful as u32) << 1
            | self.verdict as u32
    }

    /// The entry of a word.
    #[must_use]
    #[inline(always)]
    pub const fn unpack(word: u32) -> Self {
        Self {
            verdict: if word & 1 == 0 {
                Verdict::Allow
            } else {
                Verdict::Deny
            },
            stateful: word & 2 != 0,
            limit: word >> LIMIT_SHIFT,
            slot: word >> 2 & (RULE_SLOTS - 1),
        }
    }
}

/// Where the number of the limit begins in the word of a rule.
const LIMIT_SHIFT: u32 = 2 + RULE_SLOTS.trailing_zeros();

// Slots fill their field, and there are no more limits than rules.
const _: () = assert!(RULE_SLOTS.is_power_of_two() && RULE_SLOTS.leading_zeros() >= LIMIT_SHIFT);
const _: () = assert!(Reason::ALL.len() * 2 <= REASONS as usize);
const _: () = assert!(ParseClass::ALL.len() <= CLASSES as usize);
