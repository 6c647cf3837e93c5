//! Runs of addresses → a bitmap in front of a trie: where a bit is clear, all addresses are of the class that most are of.
//!
//! A packet waits for memory, and how long, the size of what is read decides: a set of a million prefixes is 20 MiB of trie, and
//! most packets come from elsewhere. A bitmap of 2 MiB tells that of seven in eight.

use std::collections::{BTreeMap, HashMap};

use ravelin_datapath::wire::Plane;

use super::CompileError;
use super::partition::{Run, Span};
use super::words::Words;

/// Where a bitmap stands in the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bitmap {
    /// Address bits that index it.
    pub(super) bits: u32,
    /// Its first double.
    pub(super) first: u32,
    /// The word that holds the class of addresses whose bit is clear.
    pub(super) class: u32,
    /// That class.
    most_are: u32,
}

/// What is to be stored so that the addresses of `window` that are of another class than most are looked up: the indices of doubles,
/// and their values. A bit that is set without need costs a packet some time and is left. `None`: too many.
pub(super) fn stores(
    bitmap: Bitmap,
    runs: &[Run],
    window: Span,
    double: impl Fn(u32) -> Option<u64>,
) -> Option<Vec<(u32, u64)>> {
    let mut stores: BTreeMap<usize, u64> = BTreeMap::new();
    for (run, last) in with_last(runs, window.last).filter(|(run, _)| run.class != bitmap.most_are) {
        for (word, bits) in marked(position(run.first, bitmap.bits), position(last, bitmap.bits)) {
            *stores.entry(word).or_default() |= bits;
            if stores.len() > MOST_STORES {
                return None;
            }
        }
    }
    let mut changed = Vec::new();
    for (word, bits) in stores {
        let at = bitmap.first.checked_add(u32::try_from(word).ok()?)?;
        let old = double(at)?;
        if old | bits != old {
            changed.push((at, old | bits));
        }
    }
    Some(changed)
}

/// Writes the bitmap of `runs`, when it is worth its memory.
pub(super) fn write(plane: Plane, runs: &[Run], words: &mut Words) -> Result<Option<Bitmap>, CompileError> {
    let bits = bits(plane, runs.len());
    if u64::from(1_u32 << bits) / 8 > words.left() / 4 {
        return Ok(None);
    }
    let class = most_common(runs);
    let mut marks = vec![0_u64; 1 << (bits - 6)];
    for (run, last) in with_last(runs, u128::MAX).filter(|(run, _)| run.class != class) {
        for (word, bits) in marked(position(run.first, bits), position(last, bits)) {
            if let Some(word) = marks.get_mut(word) {
                *word |= bits;
            }
        }
    }
    let marked: u64 = marks.iter().map(|marks| u64::from(marks.count_ones())).sum();
    if marked > MOST_MARKED << bits >> 8 {
        return Ok(None);
    }
    let first = words.line_of_doubles()?;
    words.doubles(marks.into_iter())?;
    Ok(Some(Bitmap {
        bits,
        first,
        class: words.table(&[class])?,
        most_are: class,
    }))
}

/// Many more bits than runs, so that few are set; IPv6 addresses in use are an eighth of all.
fn bits(plane: Plane, runs: usize) -> u32 {
    let (more, most) = match plane {
        Plane::V4 => (4, 24),
        Plane::V6 => (6, 27),
    };
    (runs.next_power_of_two().ilog2() + more).clamp(LEAST_BITS, most)
}

fn position(address: u128, bits: u32) -> usize {
    usize::try_from(address >> (128 - bits)).unwrap_or(usize::MAX)
}

/// The words that hold the bits from `first` to `last`, each with those bits.
fn marked(first: usize, last: usize) -> impl Iterator<Item = (usize, u64)> {
    (first / 64..=last / 64).map(move |word| {
        let from = if word == first / 64 { first % 64 } else { 0 };
        let to = if word == last / 64 { last % 64 } else { 63 };
        (word, u64::MAX << from & u64::MAX >> (63 - to))
    })
}

/// The class of most addresses.
fn most_common(runs: &[Run]) -> u32 {
    let mut sizes: HashMap<u32, u128, foldhash::fast::RandomState> = HashMap::default();
    for (run, last) in with_last(runs, u128::MAX) {
        let size = sizes.entry(run.class).or_default();
        *size = size.saturating_add(last - run.first);
    }
    let largest = sizes.into_iter().max_by_key(|(class, size)| (*size, *class));
    largest.map_or(0, |(class, _)| class)
}

/// Runs, each with its last address; `end` is the last of all.
fn with_last(runs: &[Run], end: u128) -> impl Iterator<Item = (&Run, u128)> {
    let lasts = runs.iter().skip(1).map(|next| next.first - 1);
    runs.iter().zip(lasts.chain([end]))
}

const LEAST_BITS: u32 = 16;
/// Doubles of the bitmap that one change may store.
const MOST_STORES: usize = 64;
/// Of 256 bits: with more of them set, it answers too seldom to be asked.
const MOST_MARKED: u64 = 160;
