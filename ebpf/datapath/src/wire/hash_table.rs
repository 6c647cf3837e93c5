//! The shape of a [hash table](crate::hash_table): lines of ways, and the tags that say what stands in a way.

/// Ways of a line: their tags are one cache line of 64 bytes.
pub const WAYS: usize = 8;

/// The same number, where lines are counted.
pub(crate) const WAYS_PER_LINE: u32 = 8;

const _: () = assert!(WAYS == WAYS_PER_LINE as usize);

/// Secret numbers of a table: one to begin with, and one for each half of the longest key.
pub const HASH_NUMBERS: usize = 1 + 2 * LONGEST_KEY;

/// Words of the longest key.
const LONGEST_KEY: usize = 5;

/// Words of a line whose ways have keys and values of so many: the tags, then way after way key and value.
#[must_use]
pub const fn line_words(key: usize, value: usize) -> usize {
    WAYS + WAYS * (key + value)
}

/// What the tag of a way says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nothing stands in it.
    Free,
    /// Somebody is writing to it.
    Busy,
    /// An entry does.
    Taken(Claimed),
}

/// What the tag of an entry says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// So many bits of its key's hash: [`FINGERPRINT`].
    pub fingerprint: u32,
    /// It does not give way to others, or is no guest.
    pub kept: bool,
    /// When it was entered, on a clock that may go round.
    pub time: u32,
}

impl Way {
    /// The tag of a free way.
    pub const FREE: u64 = 0;
    /// The tag of one that somebody is writing to.
    pub const BUSY: u64 = 1;

    /// What a tag says.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "fields of a 64-bit word")]
    pub const fn of(tag: u64) -> Self {
        if tag & TAKEN == 0 {
            return if tag == Self::FREE { Self::Free } else { Self::Busy };
        }
        Self::Taken(Claimed {
            fingerprint: (tag >> 32) as u32 & FINGERPRINT,
            kept: tag & KEPT != 0,
            time: tag as u32,
        })
    }
}

impl Claimed {
    /// The tag.
    #[must_use]
    #[inline(always)]
    pub const fn tag(self) -> u64 {
        TAKEN | (self.kept as u64 * KEPT) | (self.fingerprint as u64) << 32 | self.time as u64
    }
}

/// 0 if the tag is that of an entry with this fingerprint.
#[inline(always)]
pub(crate) const fn tag_difference(tag: u64, fingerprint: u32) -> u64 {
    (tag >> 32 & (TAKEN >> 32 | FINGERPRINT as u64)) ^ (TAKEN >> 32 | fingerprint as u64)
}

/// 1 if the tag is that of an entry, otherwise 0.
#[inline(always)]
pub(crate) const fn is_taken(tag: u64) -> u64 {
    tag >> 62 & 1
}

/// 1 if the tag is that of an entry that is kept, otherwise 0.
#[inline(always)]
pub(crate) const fn is_kept(tag: u64) -> u64 {
    tag >> 63
}

/// The bits of a fingerprint.
pub const FINGERPRINT: u32 = (1 << 30) - 1;
const TAKEN: u64 = 1 << 62;
const KEPT: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_what_it_was_made_of() {
        for fingerprint in [0, 1, FINGERPRINT] {
            for kept in [false, true] {
                for time in [0, 1, u32::MAX] {
                    let claimed = Claimed {
                        fingerprint,
                        kept,
                        time,
                    };
                    assert_eq!(Way::of(claimed.tag()), Way::Taken(claimed));
                    assert_eq!(tag_difference(claimed.tag(), fingerprint), 0);
                    assert_ne!(tag_difference(claimed.tag(), fingerprint ^ 2), 0);
                }
            }
        }
        assert_eq!((Way::of(Way::FREE), Way::of(Way::BUSY)), (Way::Free, Way::Busy));
        for tag in [Way::FREE, Way::BUSY] {
            assert_ne!(tag_difference(tag, 0), 0);
        }
    }
}
