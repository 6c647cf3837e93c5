//! A token bucket in two words, exact and without a lock.
//!
//! On one processor it is the bucket of the textbook, to the credit. On several, what it grants is never more than that: the time
//! since the last packet is credited by the one processor that moves the clock word, and each change of the credits is one compare and swap, from a number
//! that was there to one that is at most a full bucket. What can go wrong is a refusal: who loses every one of [`ATTEMPTS`] swaps to others is denied,
//! and what it would have credited is lost. That takes as many other packets that were granted in the meantime.

use crate::wire::Limit;

/// A bucket in its table.
pub trait Bucket {
    /// When it was last filled up to.
    fn last(&self) -> u64;

    /// The credits in it.
    fn credits(&self) -> u64;

    /// Replaces the time, if it is still `old`; says whether it was.
    fn move_last(&self, old: u64, new: u64) -> bool;

    /// Replaces the credits, if they are still `old`; says whether they were.
    fn move_credits(&self, old: u64, new: u64) -> bool;
}

/// What became of a wish to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// The tokens were there, and are taken.
    Granted,
    /// They were not, and nothing is taken.
    TooLittle,
    /// Others were quicker each time.
    Contended,
}

/// Swaps that are tried before a packet is given up.
const ATTEMPTS: u32 = 8;

/// Takes tokens from a bucket, if they are there at `now`.
#[inline(always)]
pub fn spend(bucket: &impl Bucket, limit: &Limit, now: u64, tokens: u64) -> Spent {
    if tokens > limit.burst {
        // It would not pass with a full bucket either; and the product below fits, as `burst * per` does.
        return Spent::TooLittle;
    }
    let cost = tokens.wrapping_mul(limit.per);
    let capacity = limit.capacity();
    let last = bucket.last();
    let mut earned = 0;
    if now > last && bucket.move_last(last, now) {
        let elapsed = now - last;
        // Below `fill`, which is `capacity / count` rounded up, `elapsed <= fill - 1 < capacity / count`: the product is less than
        // `capacity`, which fits 63 bits.
        earned = if elapsed >= limit.fill {
            capacity
        } else {
            elapsed.wrapping_mul(limit.count)
        };
    }
    let mut attempt = 0;
    while attempt < ATTEMPTS {
        let credits = bucket.credits();
        // Neither is more than `capacity`: the sum fits 64 bits.
        let sum = credits.wrapping_add(earned);
        let full = if sum > capacity { capacity } else { sum };
        let enough = full >= cost;
        let after = if enough { full - cost } else { full };
        if after == credits {
            // Nothing to write. That there is a cost, and enough for it, would need that exactly it was earned: then it is taken from
            // what came in.
            return if enough { Spent::Granted } else { Spent::TooLittle };
        }
        if bucket.move_credits(credits, after) {
            return if enough { Spent::Granted } else { Spent::TooLittle };
        }
        attempt += 1;
    }
    Spent::Contended
}
