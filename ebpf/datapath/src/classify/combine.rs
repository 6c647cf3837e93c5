//! Source, destination and service class → the first matching rule.

use crate::Tables;
use crate::wire::{MAX_ROWS, Plane, Setting};

/// Summary words of the longest bit vector. A constant bound for the verifier.
const MAX_SUMMARY_WORDS: u32 = MAX_ROWS / (64 * 64);

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
    while summary_index < summaries && summary_index < MAX_SUMMARY_WORDS {
        // The summary stays as it was read, and `left` says which bits are still to be looked at: a value that the loop
        // narrows step by step would be a new state to the verifier in every step.
        let summary = vectors.and(tables, summary_index)?;
        let mut left = u64::MAX;
        let mut step = 0;
        while step < 64 {
            step += 1;
            let candidates = summary & left;
            if candidates == 0 {
                break;
            }
            let bit = candidates.trailing_zeros();
            left = u64::MAX << (bit & 63) << 1;
            let word = summary_index * 64 + bit;
            let rows = vectors.and(tables, summaries.wrapping_add(word))?;
            if rows != 0 {
                let row = word * 64 + rows.trailing_zeros();
                return tables.word(tables.setting(settings.rows).wrapping_add(row));
            }
        }
        summary_index += 1;
    }
    Some(0)
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
