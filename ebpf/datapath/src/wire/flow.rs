//! The shape of a flow in the table that all generations share: who talks with whom, and what is remembered of it.

use super::{Plane, WAYS_PER_LINE, line_words};
use crate::packet::Address;

/// 64-bit words of a [`FlowKey`].
pub const FLOW_KEY_WORDS: usize = 5;

/// A key of the flow table: [`Ends`], packed.
pub type FlowKey = [u64; FLOW_KEY_WORDS];

/// 64-bit words of a [`FlowRecord`].
pub const FLOW_WORDS: usize = 5;

/// A value of the flow table: a [`Flow`], packed. Both directions write it, on any processor, a word at a time: each word
/// belongs to one of them, or bears that the last writer wins.
pub type FlowRecord = [u64; FLOW_WORDS];

/// Flows for which there is always room. A bound on what a flood of opening flows, or of clients that stay, can take: 22 MiB.
pub const FLOWS: u32 = 1 << 17;

/// Lines of the flow table: twice as many ways as there are to be flows, so that no line is full before the table is.
pub const FLOW_LINES: u32 = 2 * FLOWS / WAYS_PER_LINE;

/// 64-bit words of a line of the flow table.
pub const FLOW_LINE: usize = line_words(FLOW_KEY_WORDS, FLOW_WORDS);

/// Datagrams in fragments that are remembered at once: what a flood of first fragments that a rule allows can take, 2 MiB. The rest of a datagram
/// comes within milliseconds of its first fragment.
pub const DATAGRAMS: u32 = 1 << 14;

/// What becomes of flows in their tables: the index of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FlowTables {
    /// A flow was entered.
    Opened = 0,
    /// Both ends of a flow have proven to be there.
    Settled = 1,
    /// A flow could not be entered.
    NoRoom = 2,
    /// A flow stays one that can be pushed out: those that cannot have all their room taken.
    NotSettled = 3,
    /// The first fragment of a datagram has passed, and is remembered; the oldest of them gives way.
    Datagram = 4,
    /// An ACK has brought back a SYN cookie, and opened a flow that is established.
    Proven = 5,
}

impl FlowTables {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNTERS as usize] = [
        Self::Opened,
        Self::Settled,
        Self::NoRoom,
        Self::NotSettled,
        Self::Datagram,
        Self::Proven,
    ];

    /// How many counters there are.
    pub const COUNTERS: u32 = 6;

    /// The word in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Settled => "settled",
            Self::NoRoom => "no_room",
            Self::NotSettled => "not_settled",
            Self::Datagram => "datagram",
            Self::Proven => "proven",
        }
    }
}

/// The two ends of a flow, seen from the host: what comes in goes from `remote` to `local`, what goes out the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The family.
    pub plane: Plane,
    /// The upper protocol's number.
    pub protocol: u8,
    /// The address of the other host.
    pub remote: Address,
    /// The address of this host.
    pub local: Address,
    /// The port of the other host. Of an ICMP echo: 0 when this host asks, 1 when the other one does.
    pub remote_port: u16,
    /// The port of this host. Of an ICMP echo: its identifier.
    pub local_port: u16,
}

impl Ends {
    /// The key.
    #[must_use]
    #[inline(always)]
    pub const fn key(self) -> FlowKey {
        [
            self.remote.high,
            self.remote.low,
            self.local.high,
            self.local.low,
            (self.remote_port as u64) << 48
                | (self.local_port as u64) << 32
                | (self.plane as u64) << 8
                | self.protocol as u64,
        ]
    }

    /// The ends of a key.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "fields of a word")]
    pub const fn of(key: &FlowKey) -> Self {
        let [remote_high, remote_low, local_high, local_low, rest] = *key;
        Self {
            plane: if rest >> 8 & 1 == 0 { Plane::V4 } else { Plane::V6 },
            protocol: rest as u8,
            remote: Address {
                high: remote_high,
                low: remote_low,
            },
            local: Address {
                high: local_high,
                low: local_low,
            },
            remote_port: (rest >> 48) as u16,
            local_port: (rest >> 32) as u16,
        }
    }
}

/// How far a flow has come, and with it how long it may be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// One end has spoken.
    Opening = 0,
    /// Both ends have: in TCP, the handshake is complete.
    Established = 1,
    /// TCP: both ends have finished, or one has reset.
    Closing = 2,
}

/// What is remembered of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// When it was last active, in nanoseconds of the flow clock.
    pub seen: u64,
    /// TCP: the sequence number that follows the last one this host sent. Written by what goes out alone.
    pub next: u32,
    /// TCP: the sequence number that this host last acknowledged. Written by what goes out alone.
    pub acked: u32,
    /// How far it has come.
    pub stage: Stage,
    /// Whether the other host opened it.
    pub by_remote: bool,
    /// What is known of it: bits of [`marks`].
    pub marks: u16,
    /// The epoch of the tables by which it was last allowed, those of the direction in which it was opened.
    pub epoch: u32,
    /// The counter slot of the rule that let it in, plus one; 0: the default did.
    pub rule: u32,
    /// TCP: the sequence number that follows the other host's last FIN. Written by what comes in alone.
    pub remote_fin: u32,
}

/// Bits of [`Flow::marks`].
pub mod marks {
    /// [`super::Flow::next`] is known.
    pub const NEXT: u16 = 1;
    /// [`super::Flow::acked`] is known.
    pub const ACKED: u16 = 1 << 1;
    /// This host has sent its FIN.
    pub const LOCAL_FIN: u16 = 1 << 2;
    /// The other host's FIN was acknowledged by this host.
    pub const REMOTE_FIN: u16 = 1 << 3;
    /// This host has sent something.
    pub const LOCAL: u16 = 1 << 4;
    /// The other host has.
    pub const REMOTE: u16 = 1 << 5;
}

/// The words of a record.
pub(crate) mod word {
    pub(crate) const SEEN: usize = 0;
    pub(crate) const SENT: usize = 1;
    pub(crate) const STATE: usize = 2;
    pub(crate) const JUDGED: usize = 3;
    pub(crate) const REMOTE_FIN: usize = 4;
}

/// Set in the word of the other host's FIN when there was one.
const FIN_SEEN: u64 = 1 << 32;

impl Flow {
    /// The record.
    #[must_use]
    #[inline(always)]
    pub const fn pack(&self) -> FlowRecord {
        [
            self.seen,
            self.sent_word(),
            self.state_word(),
            self.judged_word(),
            // A flow begins without one.
            0,
        ]
    }

    #[inline(always)]
    pub(crate) const fn sent_word(&self) -> u64 {
        (self.acked as u64) << 32 | self.next as u64
    }

    #[inline(always)]
    pub(crate) const fn state_word(&self) -> u64 {
        (self.marks as u64) << 16 | (self.by_remote as u64) << 8 | self.stage as u64
    }

    #[inline(always)]
    pub(crate) const fn judged_word(&self) -> u64 {
        (self.rule as u64) << 32 | self.epoch as u64
    }

    #[inline(always)]
    pub(crate) const fn fin_word(end: u32) -> u64 {
        FIN_SEEN | end as u64
    }

    /// The flow of a record.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "fields of 64-bit words")]
    pub const fn unpack(record: &FlowRecord) -> Self {
        let [seen, sent, state, judged, fin] = *record;
        Self {
            seen,
            next: sent as u32,
            acked: (sent >> 32) as u32,
            stage: match state & 3 {
                0 => Stage::Opening,
                1 => Stage::Established,
                _ => Stage::Closing,
            },
            by_remote: state >> 8 & 1 == 1,
            marks: (state >> 16) as u16,
            epoch: judged as u32,
            rule: (judged >> 32) as u32,
            remote_fin: fin as u32,
        }
    }

    /// Whether a record has seen the other host's FIN.
    #[inline(always)]
    pub(crate) const fn remote_fin_seen(record: &FlowRecord) -> bool {
        record[word::REMOTE_FIN] & FIN_SEEN != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_who_talks_with_whom() {
        for plane in Plane::ALL {
            let ends = Ends {
                plane,
                protocol: 255,
                remote: Address {
                    high: 0x0102_0304_0506_0708,
                    low: u64::MAX,
                },
                local: Address { high: 1, low: 2 },
                remote_port: 65_535,
                local_port: 1,
            };
            assert_eq!(Ends::of(&ends.key()), ends);
        }
    }

    #[test]
    fn a_record_holds_a_flow_that_begins() {
        for stage in [Stage::Opening, Stage::Established, Stage::Closing] {
            for by_remote in [false, true] {
                let flow = Flow {
                    seen: u64::MAX,
                    next: 1,
                    acked: u32::MAX,
                    stage,
                    by_remote,
                    marks: marks::REMOTE | marks::NEXT,
                    epoch: u32::MAX,
                    rule: 7,
                    remote_fin: 0,
                };
                assert_eq!(Flow::unpack(&flow.pack()), flow);
            }
        }
    }
}
