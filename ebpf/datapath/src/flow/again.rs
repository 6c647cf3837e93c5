//! A flow that other tables let in, before those of today.

use super::Claim;
use super::claim::first_packet;
use crate::classify::Classes;
use crate::wire::Ends;
use crate::{Tables, judge};

/// What tables say of a flow that was let in before, in one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again(pub u64);

impl Again {
    /// Nobody has asked them.
    pub const NOT_ASKED: Self = Self(0);
    /// It ends.
    pub const ENDS: Self = Self(1);
    /// A lookup left its table.
    pub const FAULT: Self = Self(3);

    /// It stays, by this rule.
    #[inline(always)]
    const fn stays(rule: u32) -> Self {
        Self((rule as u64) << 2 | 2)
    }

    /// The rule by which it stays.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a rule has 32 bits")]
    pub(super) const fn rule(self) -> Option<u32> {
        if self.0 & 3 != 2 {
            return None;
        }
        Some((self.0 >> 2) as u32)
    }
}

/// The classes of the packet that opened the flow of `claim`, in these tables, by which it was let in once. `None` when one is
/// broken. By itself, and what they lead to too: the kernel's stack is too short for both at once.
#[inline(always)]
#[must_use]
pub fn classes_again<const PLANE: u8>(
    tables: &impl Tables,
    claim: &Claim,
    by_remote: bool,
) -> Option<Classes> {
    let first = first_packet(Ends::of(&claim.key), by_remote, claim.upper_kind());
    judge::classes_again::<PLANE>(tables, &first, claim.interface, claim.now)
}

/// What these tables say of a flow whose first packet has these classes.
#[inline(always)]
#[must_use]
pub fn again<const PLANE: u8>(tables: &impl Tables, classes: Classes) -> Again {
    match judge::said_again::<PLANE>(tables, classes) {
        Some(said) => said.kept().map_or(Again::ENDS, Again::stays),
        None => Again::FAULT,
    }
}
