//! Source, destination and service class → the first matching rule.

use super::{Classes, FirstMatch, Found, Pairing};
use crate::wire::{MAX_ROWS, Plane, Setting};
use crate::{Tables, Window as _};

/// Summary words of the longest bit vector. A constant bound for the verifier.
const MAX_SUMMARY_WORDS: u32 = MAX_ROWS / (64 * 64);

/// Two table reads, one more when rows are cut into tiles, and one more when rules observe.
#[inline(always)]
pub(super) fn cross_product<const PLANE: u8>(tables: &impl Tables, classes: Classes) -> Option<Found> {
    let Classes {
        source,
        destination,
        service,
    } = classes;
    let settings = Family::of::<PLANE>();
    let pairing = tables.setting(settings.pairing);
    let [first, second, third] = if pairing == Pairing::SourceDestination as u32 {
        [source, destination, service]
    } else if pairing == Pairing::SourceService as u32 {
        [source, service, destination]
    } else {
        [destination, service, source]
    };
    let pair = first
        .wrapping_mul(tables.setting(settings.pairs_width))
        .wrapping_add(second);
    let row = half(tables, settings.pairs, pair)?.wrapping_mul(tables.setting(settings.row_width));
    let tile_bits = tables.setting(settings.tile_bits);
    let cell = if tile_bits == 0 {
        row.wrapping_add(third)
    } else {
        let tile = row.wrapping_add(third >> (tile_bits & 31));
        let tile = tables.word(tables.setting(settings.tiles).wrapping_add(tile))?;
        (tile << (tile_bits & 31)).wrapping_add(third & ((1 << (tile_bits & 31)) - 1))
    };
    let word = half(tables, settings.cells, cell)?;
    if tables.setting(Setting::ObserveUsed) == 0 {
        return Some(Found {
            decided: FirstMatch(word),
            observed: FirstMatch::NONE,
        });
    }
    let outcome = (tables.setting(settings.outcomes) >> 1).wrapping_add(word);
    Some(Found::of_double(tables.double(outcome)?))
}

/// One of the 16-bit numbers that a table holds two a word: half of the memory, for which a packet waits.
#[inline(always)]
fn half(tables: &impl Tables, table: Setting, index: u32) -> Option<u32> {
    let word = tables.word(tables.setting(table).wrapping_add(index >> 1))?;
    Some(word >> ((index & 1) << 4) & 0xffff)
}

/// The walk through the rows whose bit is set in all three vectors, lowest first.
///
/// A vector is its summary (one bit for each data word that is not zero) followed by its data words: only data words
/// that none of the three summaries rules out are read. A row that goes on with the next scope raises the floor below which
/// rows are not looked at; rows that observe are noted and passed over. The walk never goes back.
#[inline(always)]
pub(super) fn bit_vectors<const PLANE: u8>(tables: &impl Tables, classes: Classes) -> Option<Found> {
    let Classes {
        source,
        destination,
        service,
    } = classes;
    let settings = Family::of::<PLANE>();
    let observe = tables.setting(Setting::ObserveUsed) != 0;
    let next = tables.setting(Setting::NextUsed) != 0;
    let words = tables.setting(settings.width);
    let summaries = words.div_ceil(64);
    let length = words.wrapping_add(summaries);
    // A vector is shorter than the window when its last summary word is not full; the tables have room behind the last one.
    let window = summaries.wrapping_mul(1 + 64);
    let vector = |of: Setting, class: u32| {
        let first = (tables.setting(of) >> 1).wrapping_add(class.wrapping_mul(length));
        tables.window(first, window)
    };
    let source = vector(settings.sources, source)?;
    let destination = vector(settings.destinations, destination)?;
    let service = vector(settings.services, service)?;
    let and = |index: u32| Some(source.double(index)? & destination.double(index)? & service.double(index)?);
    let [rows_at, enforcing_at, resumes_at] = [
        tables.setting(settings.rows),
        tables.setting(settings.outcomes) >> 1,
        tables.setting(settings.resumes),
    ];
    let rule = |row: u32| tables.word(rows_at.wrapping_add(row));
    let mut floor = 0;
    let mut observed = 0;
    let mut summary_index = 0;
    while summary_index < summaries && summary_index < MAX_SUMMARY_WORDS {
        // The summary stays as it was read, and `left` says which bits are still to be looked at: a value that the loop
        // narrows step by step would be a new state to the verifier in every step.
        let summary = and(summary_index)?;
        let mut left = u64::MAX;
        let mut step = 0;
        while step < MAX_STEPS {
            step += 1;
            let candidates = summary & left;
            if candidates == 0 {
                break;
            }
            let bit = candidates.trailing_zeros() & 63;
            left = u64::MAX << bit << 1;
            let word = summary_index * 64 + bit;
            if next && word < floor >> 6 {
                continue;
            }
            let mut rows = and(summaries.wrapping_add(word))?;
            if next && word == floor >> 6 {
                rows &= u64::MAX << (floor & 63);
            }
            let mut deciding = rows;
            if observe {
                deciding &= tables.double(enforcing_at.wrapping_add(word))?;
                // Those before the first deciding row; all of them, when there is none.
                let before = (deciding & deciding.wrapping_neg()).wrapping_sub(1);
                let observing = rows & !deciding & before;
                if observed == 0 && observing != 0 {
                    observed = rule(word * 64 + observing.trailing_zeros())?;
                }
            }
            if deciding == 0 {
                continue;
            }
            let row = word * 64 + deciding.trailing_zeros();
            if next {
                let resume = tables.word(resumes_at.wrapping_add(row))?;
                if resume != 0 {
                    // The next scope may begin in this very word.
                    floor = resume;
                    left = u64::MAX << bit;
                    continue;
                }
            }
            return Some(Found {
                decided: FirstMatch(rule(row)?),
                observed: FirstMatch(observed),
            });
        }
        summary_index += 1;
    }
    Some(Found {
        decided: FirstMatch::NONE,
        observed: FirstMatch(observed),
    })
}

/// Words of one summary, and each change of scope looks at one of them again.
const MAX_STEPS: u32 = 64 + 4;

/// The names of one family's settings.
struct Family {
    pairing: Setting,
    pairs: Setting,
    pairs_width: Setting,
    tile_bits: Setting,
    tiles: Setting,
    row_width: Setting,
    cells: Setting,
    sources: Setting,
    destinations: Setting,
    services: Setting,
    width: Setting,
    rows: Setting,
    outcomes: Setting,
    resumes: Setting,
}

impl Family {
    #[inline(always)]
    const fn of<const PLANE: u8>() -> Self {
        if PLANE == Plane::V4 as u8 {
            Self {
                pairing: Setting::Pairing4,
                pairs: Setting::Pairs4,
                pairs_width: Setting::PairsWidth4,
                tile_bits: Setting::TileBits4,
                tiles: Setting::Tiles4,
                row_width: Setting::RowWidth4,
                cells: Setting::Cells4,
                sources: Setting::Sources4,
                destinations: Setting::Destinations4,
                services: Setting::Services4,
                width: Setting::Width4,
                rows: Setting::Rows4,
                outcomes: Setting::Outcomes4,
                resumes: Setting::Resumes4,
            }
        } else {
            Self {
                pairing: Setting::Pairing6,
                pairs: Setting::Pairs6,
                pairs_width: Setting::PairsWidth6,
                tile_bits: Setting::TileBits6,
                tiles: Setting::Tiles6,
                row_width: Setting::RowWidth6,
                cells: Setting::Cells6,
                sources: Setting::Sources6,
                destinations: Setting::Destinations6,
                services: Setting::Services6,
                width: Setting::Width6,
                rows: Setting::Rows6,
                outcomes: Setting::Outcomes6,
                resumes: Setting::Resumes6,
            }
        }
    }
}
