//! A hash table of a fixed size that programs on any processor, and the daemon, change at the same time without a lock.
//!
//! Key → hash → **two lines of eight ways** → the entry. A key may stand in either of its two lines, so one look at both says that it is not
//! there; a new one goes where more room is, so that no line is full long before the others (Azar, Broder, Karlin and Upfal, "Balanced
//! allocations", 1999). A line begins with a tag for each of its ways, which together are one cache line: an entry itself is read only when its
//! tag has the key's fingerprint.
//!
//! Nobody waits: who changes a way takes it by compare and swap of its tag, and who loses leaves it to the others. A processor that has found
//! an entry may still write to it when another has given its way to a new one; so each word of an entry must bear a write that comes too late.

#[cfg(not(target_arch = "bpf"))]
mod slice;

#[cfg(not(target_arch = "bpf"))]
pub use slice::SliceLines;

use crate::wire::{self, Claimed, FINGERPRINT, WAYS, Way, line_words};

/// How a table is reached.
pub trait Lines {
    /// One line, or what stands behind some word of it.
    type Line: Line;

    /// How many lines there are, a power of two, less one.
    fn mask(&self) -> u32;

    /// The secret number at `index` below [`wire::HASH_NUMBERS`]: without them nobody can choose keys that meet in one line.
    fn secret(&self, index: usize) -> u64;

    /// The line of that number.
    fn line(&self, number: u32) -> Option<Self::Line>;

    /// The number, of which whoever proves the program forgets how it came to be.
    fn forget(&self, number: u64) -> u64 {
        number
    }

    /// 1 for 0, and 0 for every other number. As the other two below without a branch, where that counts: a proof that goes both ways at each of eight
    /// ways goes very many.
    fn is_zero(&self, number: u64) -> u64 {
        (number == 0).into()
    }

    /// The greater of two numbers below 2^63.
    fn greater(&self, one: u64, other: u64) -> u64 {
        one.max(other)
    }

    /// The way after this one.
    fn after(&self, way: usize) -> usize {
        way + 1
    }
}

/// Words that others read and write at the same time, each whole.
pub trait Line: Sized {
    /// The word at `index`.
    fn load(&self, index: usize) -> u64;

    /// Replaces it.
    fn store(&self, index: usize, word: u64);

    /// Replaces it, if it is `old`; says whether it was. Whoever sees the new word sees what was stored before.
    fn swap(&self, index: usize, old: u64, new: u64) -> bool;

    /// The same words from the one at `index` on.
    fn from(&self, index: usize) -> Self;
}

/// What became of a wish to enter something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// It stands there.
    Done,
    /// All ways that it could have are taken for good, or another processor was quicker.
    NoRoom,
}

/// What stands in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<const KEY: usize, const VALUE: usize> {
    /// Its key.
    pub key: [u64; KEY],
    /// Its value.
    pub value: [u64; VALUE],
    /// It does not give way, or is no guest.
    pub kept: bool,
}

/// The table of entries with keys of `KEY` words and values of `VALUE` words.
#[derive(Clone, Copy, Debug)]
pub struct HashTable<L, const KEY: usize, const VALUE: usize> {
    lines: L,
}

/// How long what is entered stays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// Until there is no room for something newer.
    UntilRoomIsNeeded,
    /// Until it is taken out.
    Kept,
    /// The same, in a part of each line.
    Guest,
}

/// Where a key may stand.
#[derive(Clone, Copy)]
struct Hash {
    first: u32,
    second: u32,
    fingerprint: u32,
}

/// What one look at a line has found.
#[derive(Clone, Copy)]
struct Look {
    /// The way in which the key goes, if it goes in this line.
    best: Candidate,
    /// Ways of those that may not take all of them: guests, or what is kept.
    alike: u64,
}

/// A way in which a key may go, in one number, so that the better one is the greater one: the [`Rank`], then how long ago what stands there was
/// entered, then the way.
#[derive(Clone, Copy)]
struct Candidate(u64);

/// What stands in such a way.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Rank {
    /// What may not be touched.
    None = 0,
    /// What may give way.
    Old = 1,
    /// Nothing.
    Free = 2,
    /// The key itself.
    Same = 3,
}

impl Candidate {
    const NONE: Self = Self::new(Rank::None, 0, 0);

    #[inline(always)]
    const fn new(rank: Rank, age: u64, way: usize) -> Self {
        Self((rank as u64) << 48 | age << 8 | way as u64)
    }

    #[inline(always)]
    const fn is(self, rank: Rank) -> bool {
        self.0 >> 48 == rank as u64
    }

    #[inline(always)]
    const fn way(self) -> usize {
        (self.0 & 0xff) as usize
    }
}

impl<L: Lines, const KEY: usize, const VALUE: usize> HashTable<L, KEY, VALUE> {
    /// The table in these lines.
    #[inline(always)]
    pub const fn new(lines: L) -> Self {
        Self { lines }
    }

    /// The value of a key.
    #[inline(always)]
    pub fn find(&self, key: &[u64; KEY]) -> Option<L::Line> {
        let hash = self.hash(key);
        let first = self.lines.line(hash.first)?;
        // Most stand there. Where it is, is known before the tags have come from memory, and so both come at once.
        let own = hash.way();
        if hash.marks(first.load(own)) && Self::is_key(&first, own, key) {
            return Some(first.from(Self::entry(own) + KEY));
        }
        let (line, way) = self.locate(hash, key)?;
        Some(line.from(Self::entry(way) + KEY))
    }

    /// Enters a key, or replaces its value. When there is no room, what was entered longest ago and is not [kept](Self::keep) gives way.
    #[inline(always)]
    pub fn enter(&self, key: &[u64; KEY], value: &[u64; VALUE], time: u32) -> Entered {
        self.put(key, value, time, Stay::UntilRoomIsNeeded)
    }

    /// Enters a key that never gives way; one that stands there stays as it is. A guest is trusted with half of a line: the rest is for the others.
    #[inline(always)]
    pub fn enter_to_stay(&self, key: &[u64; KEY], value: &[u64; VALUE], guest: bool) -> Entered {
        self.put(key, value, 0, if guest { Stay::Guest } else { Stay::Kept })
    }

    /// From now on the key does not give way. Says whether that could be: one way of each line is for those that come.
    #[inline(always)]
    pub fn keep(&self, key: &[u64; KEY]) -> bool {
        let hash = self.hash(key);
        let Some((line, way)) = self.locate(hash, key) else {
            return false;
        };
        let tag = line.load(way);
        match Way::of(tag) {
            Way::Taken(claimed) if !claimed.kept => {
                let kept = Claimed {
                    kept: true,
                    ..claimed
                }
                .tag();
                self.alike(&line, Stay::Kept) < MOST_KEPT && line.swap(way, tag, kept)
            }
            Way::Taken(_) => true,
            _ => false,
        }
    }

    /// Takes a key out.
    #[inline(always)]
    pub fn remove(&self, key: &[u64; KEY]) {
        let hash = self.hash(key);
        // Twice: two processors may have entered the same key at the same moment.
        let mut time = 0;
        while time < 2 {
            let Some((line, way)) = self.locate(hash, key) else {
                return;
            };
            let tag = line.load(way);
            if hash.marks(tag) {
                line.swap(way, tag, Way::FREE);
            }
            time += 1;
        }
    }

    /// Every entry, as they are while they change: one that comes meanwhile may be met or not.
    pub fn entries(self) -> impl Iterator<Item = Entry<KEY, VALUE>> {
        self.taken().filter_map(|(line, way, tag)| {
            let (key, value) = Self::read(&line, way);
            // Another one may have taken its way while it was read.
            let same = |found: Claimed| Claimed { kept: true, ..found };
            match (Way::of(tag), Way::of(line.load(way))) {
                (Way::Taken(before), Way::Taken(after)) if same(before) == same(after) => Some(Entry {
                    key,
                    value,
                    kept: after.kept,
                }),
                _ => None,
            }
        })
    }

    /// Takes out every entry of which `is_over` says so; says how many they were.
    pub fn sweep(self, is_over: impl Fn(&[u64; KEY], &[u64; VALUE]) -> bool) -> usize {
        let mut swept = 0;
        for (line, way, tag) in self.taken() {
            let over = || {
                let (key, value) = Self::read(&line, way);
                is_over(&key, &value)
            };
            if !over() || !line.swap(way, tag, Way::BUSY) {
                continue;
            }
            // Once more: it may have moved on between the look and the swap. From here on nobody finds it.
            if over() {
                line.swap(way, Way::BUSY, Way::FREE);
                swept += 1;
            } else {
                line.swap(way, Way::BUSY, tag);
            }
        }
        swept
    }

    /// Every way with an entry, and its tag.
    fn taken(self) -> impl Iterator<Item = (L::Line, usize, u64)> {
        let ways = (0..=self.lines.mask()).flat_map(|number| (0..WAYS).map(move |way| (number, way)));
        ways.filter_map(move |(number, way)| {
            let line = self.lines.line(number)?;
            let tag = line.load(way);
            matches!(Way::of(tag), Way::Taken(_)).then_some((line, way, tag))
        })
    }

    fn read(line: &L::Line, way: usize) -> ([u64; KEY], [u64; VALUE]) {
        let entry = line.from(Self::entry(way));
        (
            core::array::from_fn(|index| entry.load(index)),
            core::array::from_fn(|index| entry.load(KEY + index)),
        )
    }

    #[inline(always)]
    fn put(&self, key: &[u64; KEY], value: &[u64; VALUE], time: u32, stay: Stay) -> Entered {
        let hash = self.hash(key);
        let (Some(first), Some(second)) = (self.lines.line(hash.first), self.lines.line(hash.second)) else {
            return Entered::NoRoom;
        };
        let looks = [
            self.look(&first, hash, key, time, stay),
            self.look(&second, hash, key, time, stay),
        ];
        let in_second = Self::goes_in_second(looks, stay);
        let (line, best) = if in_second {
            (second, looks[1].best)
        } else {
            (first, looks[0].best)
        };
        let way = best.way();
        if best.is(Rank::None) || way >= WAYS {
            return Entered::NoRoom;
        }
        let tag = line.load(way);
        let still = match Way::of(tag) {
            Way::Taken(_) if best.is(Rank::Same) && stay != Stay::UntilRoomIsNeeded => {
                return Entered::Done;
            }
            Way::Taken(claimed) => {
                best.is(Rank::Same) && hash.marks(tag) || best.is(Rank::Old) && !claimed.kept
            }
            Way::Free => best.is(Rank::Free),
            Way::Busy => false,
        };
        if !still || !line.swap(way, tag, Way::BUSY) {
            return Entered::NoRoom;
        }
        let entry = line.from(Self::entry(way));
        let mut index = 0;
        while index < KEY {
            entry.store(index, key[index]);
            index += 1;
        }
        let mut index = 0;
        while index < VALUE {
            entry.store(KEY + index, value[index]);
            index += 1;
        }
        let claimed = Claimed {
            fingerprint: hash.fingerprint,
            kept: stay == Stay::Kept,
            time,
        };
        line.swap(way, Way::BUSY, claimed.tag());
        Entered::Done
    }

    /// Whether a key goes in the second of its two lines.
    #[inline(always)]
    fn goes_in_second([first, second]: [Look; 2], stay: Stay) -> bool {
        if first.best.is(Rank::Same) {
            return false;
        }
        if first.best.is(Rank::Free) && second.best.is(Rank::Free) {
            // The first, where one look is enough to find it, unless the second has clearly more room.
            let crowded = if stay == Stay::UntilRoomIsNeeded {
                WAYS as u64 / 2
            } else {
                MOST_GUESTS / 2
            };
            return first.alike >= crowded && second.alike < first.alike;
        }
        second.best.0 > first.best.0
    }

    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the time is the lower half of a tag"
    )]
    fn look(&self, line: &L::Line, hash: Hash, key: &[u64; KEY], time: u32, stay: Stay) -> Look {
        let gives_way = u64::from(stay == Stay::UntilRoomIsNeeded);
        let (mut best, mut alike) = (Candidate::NONE, 0);
        let mut way = 0;
        while way < WAYS {
            let tag = line.load(way);
            let same = self.lines.is_zero(wire::tag_difference(tag, hash.fingerprint));
            let free = self.lines.is_zero(tag);
            let old = gives_way & (wire::is_taken(tag) - wire::is_kept(tag)) & (1 - same);
            // Its own way, or the nearest behind.
            let near = WAYS - way.wrapping_sub(hash.way()) % WAYS;
            let age = u64::from(time.wrapping_sub(tag as u32));
            let candidate = Candidate::new(Rank::Same, 0, way).0 * same
                + Candidate::new(Rank::Free, near as u64, way).0 * free
                + Candidate::new(Rank::Old, age, way).0 * old;
            best = Candidate(self.lines.greater(best.0, candidate));
            alike += Self::counts(tag, stay);
            way = self.lines.after(way);
        }
        let refused = if best.is(Rank::Same) {
            // No two keys of a line have one fingerprint: whoever looks for one asks about a single entry.
            !Self::stands(line, best.way(), key)
        } else {
            stay == Stay::Guest && alike >= MOST_GUESTS
        };
        if refused {
            best = Candidate::NONE;
        }
        Look { best, alike }
    }

    /// 1 if the tag is that of an entry of those that may not take all ways of a line.
    #[inline(always)]
    fn counts(tag: u64, stay: Stay) -> u64 {
        let guests = u64::from(stay == Stay::Guest);
        let (taken, kept) = (wire::is_taken(tag), wire::is_kept(tag));
        (taken - kept) * guests + kept * (1 - guests)
    }

    /// How many of those stand in a line.
    #[inline(always)]
    fn alike(&self, line: &L::Line, stay: Stay) -> u64 {
        let mut alike = 0;
        let mut way = 0;
        while way < WAYS {
            alike += Self::counts(line.load(way), stay);
            way = self.lines.after(way);
        }
        alike
    }

    /// Where a key stands.
    #[inline(always)]
    fn locate(&self, hash: Hash, key: &[u64; KEY]) -> Option<(L::Line, usize)> {
        let first = self.lines.line(hash.first)?;
        let way = self.marked(&first, hash);
        if Self::stands(&first, way, key) {
            return Some((first, way));
        }
        let second = self.lines.line(hash.second)?;
        let way = self.marked(&second, hash);
        Self::stands(&second, way, key).then_some((second, way))
    }

    /// The way with a key's fingerprint; or a number beyond all ways.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is beyond all ways is cut off, and still is"
    )]
    fn marked(&self, line: &L::Line, hash: Hash) -> usize {
        // One more than the way, of which no two are.
        let mut marked = 0;
        let mut way = 0;
        while way < WAYS {
            let difference = wire::tag_difference(line.load(way), hash.fingerprint);
            marked = self
                .lines
                .greater(marked, (way as u64 + 1) * self.lines.is_zero(difference));
            way = self.lines.after(way);
        }
        self.lines.forget(marked.wrapping_sub(1)) as usize
    }

    /// Whether the key stands in that way, if that is one.
    #[inline(always)]
    fn stands(line: &L::Line, way: usize, key: &[u64; KEY]) -> bool {
        way < WAYS && Self::is_key(line, way, key)
    }

    #[inline(always)]
    fn is_key(line: &L::Line, way: usize, key: &[u64; KEY]) -> bool {
        let entry = line.from(Self::entry(way));
        let mut different = 0;
        let mut index = 0;
        while index < KEY {
            different |= entry.load(index) ^ key[index];
            index += 1;
        }
        different == 0
    }

    /// Where the entry of a way begins in its line.
    #[inline(always)]
    const fn entry(way: usize) -> usize {
        line_words(0, 0) + way * (KEY + VALUE)
    }

    /// The sum of the products of the key's halves with numbers that nobody outside knows (Lemire and Kaser, "Strongly universal string
    /// hashing is fast", 2014), with its upper bits spread over all.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "some of the bits")]
    fn hash(&self, key: &[u64; KEY]) -> Hash {
        let mut sum = self.lines.secret(0);
        let mut index = 0;
        while index < KEY {
            let word = key[index];
            sum = sum.wrapping_add((word & HALF).wrapping_mul(self.lines.secret(2 * index + 1)));
            sum = sum.wrapping_add((word >> 32).wrapping_mul(self.lines.secret(2 * index + 2)));
            index += 1;
        }
        let spread = (sum ^ sum >> 32).wrapping_mul(SPREAD);
        let (high, mask) = ((spread >> 32) as u32, self.lines.mask());
        Hash {
            first: high & mask,
            second: high.rotate_right(16) & mask,
            fingerprint: (spread ^ sum >> 34) as u32 & FINGERPRINT,
        }
    }
}

impl Hash {
    /// The way in which the key goes, if it can choose.
    #[inline(always)]
    const fn way(self) -> usize {
        self.fingerprint as usize % WAYS
    }

    /// Whether a tag is that of an entry with this fingerprint.
    #[inline(always)]
    const fn marks(self, tag: u64) -> bool {
        wire::tag_difference(tag, self.fingerprint) == 0
    }
}

/// Ways of a line that may be kept: the last is for what comes, whatever stays.
const MOST_KEPT: u64 = WAYS as u64 - 1;

/// Ways of a line that guests may take.
const MOST_GUESTS: u64 = WAYS as u64 / 2;

/// The lower half of a word.
const HALF: u64 = u32::MAX as u64;

/// An odd number whose bits look random: the golden ratio (Knuth, TAOCP volume 3, section 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
