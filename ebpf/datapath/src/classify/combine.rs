//! Source, destination and service class → the first matching rule.

use crate::Tables;
use crate::wire::{MAX_ROWS, Plane, Setting};

/// Summary words of the longest bit vector. A constant bound for the verifier.
const MAX_SUMMARY_WORDS: u32 = MAX_ROWS / (64 * 64);
/// Data words of the longest bit vector.
const MAX_WORDS: u32 = MAX_SUMMARY_WORDS * 64;

/// Two table reads.
#[inline(always)]
pub(super) fn cross_product<const PLANE: u8>(
    tables: &impl Tables,
    source: u32,
    destination: u32,
    service: u32,
) -> Option<u32> {
    let settings = Family::of::<PLANE>();
    let pair = source
        .wrapping_mul(tables.setting(settings.destinations))
        .wrapping_add(destination);
    let pair = tables.word(tables.setting(settings.sources).wrapping_add(pair))?;
    let rule = pair
        .wrapping_mul(tables.setting(settings.width))
        .wrapping_add(service);
    tables.word(tables.setting(settings.services).wrapping_add(rule))
}

/// The lowest row whose bit is set in all three vectors, and its rule.
///
/// A vector is its summary (one bit for each data word that is not zero) followed by its data words: only data words
/// that none of the three summaries rules out are read.
#[inline(always)]
pub(super) fn bit_vectors<const PLANE: u8>(
    tables: &impl Tables,
    source: u32,
    destination: u32,
    service: u32,
) -> Option<u32> {
    let settings = Family::of::<PLANE>();
    let words = tables.setting(settings.width);
    let summaries = words.div_ceil(64);
    let length = words.wrapping_add(summaries);
    let vectors = Vectors {
        source: (tables.setting(settings.sources) >> 1).wrapping_add(source.wrapping_mul(length)),
        destination: (tables.setting(settings.destinations) >> 1)
            .wrapping_add(destination.wrapping_mul(length)),
        service: (tables.setting(settings.services) >> 1).wrapping_add(service.wrapping_mul(length)),
    };
    let mut summary_index = 0;
    let mut summary = vectors.and(tables, 0)?;
    let mut step = 0;
    while step < MAX_WORDS + MAX_SUMMARY_WORDS {
        step += 1;
        if summary == 0 {
            summary_index += 1;
            if summary_index >= summaries {
                return Some(0);
            }
            summary = vectors.and(tables, summary_index)?;
            continue;
        }
        let word = summary_index * 64 + summary.trailing_zeros();
        summary &= summary - 1;
        let rows = vectors.and(tables, summaries.wrapping_add(word))?;
        if rows != 0 {
            let row = word * 64 + rows.trailing_zeros();
            return tables.word(tables.setting(settings.rows).wrapping_add(row));
        }
    }
    None
}

/// Where the three vectors begin, in 64-bit words.
struct Vectors {
    source: u32,
    destination: u32,
    service: u32,
}

impl Vectors {
    #[inline(always)]
    fn and(&self, tables: &impl Tables, index: u32) -> Option<u64> {
        Some(
            tables.double(self.source.wrapping_add(index))?
                & tables.double(self.destination.wrapping_add(index))?
                & tables.double(self.service.wrapping_add(index))?,
        )
    }
}

/// The names of one family's settings.
struct Family {
    sources: Setting,
    destinations: Setting,
    services: Setting,
    width: Setting,
    rows: Setting,
}

impl Family {
    #[inline(always)]
    const fn of<const PLANE: u8>() -> Self {
        if PLANE == Plane::V4 as u8 {
            Self {
                sources: Setting::Sources4,
                destinations: Setting::Destinations4,
                services: Setting::Services4,
                width: Setting::Width4,
                rows: Setting::Rows4,
            }
        } else {
            Self {
                sources: Setting::Sources6,
                destinations: Setting::Destinations6,
                services: Setting::Services6,
                width: Setting::Width6,
                rows: Setting::Rows6,
            }
        }
    }
}
