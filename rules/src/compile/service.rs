//! The tables of the service: protocol, key (destination port or ICMP type), source port, TCP flags → service class.

use ravelin_datapath::wire::{Setting, Settings};

use super::CompileError;
use super::bits::Bits;
use super::dimension::Conditions;
use super::pairs::{Most, Pairs};
use super::partition::{Partition, Span};
use super::words::Words;
use crate::ir::Row;
use crate::policy::PortRange;

/// Writes the tables and returns, for each service class, the rows it satisfies.
pub(super) fn write(
    rows: &[Row],
    words: &mut Words,
    settings: &mut Settings,
) -> Result<Vec<Bits>, CompileError> {
    let protocols = Conditions::collect(
        rows.iter().map(|row| row.protocols.as_deref()),
        <[u8]>::to_vec,
        bytes,
    );
    let keys = Conditions::collect(rows.iter().map(|row| row.key.as_deref()), range_key, ranges);
    let source_ports = Conditions::collect(
        rows.iter().map(|row| row.source_port.as_deref()),
        range_key,
        ranges,
    );
    let flags = Conditions::collect(rows.iter().map(|row| row.flags.as_deref()), <[u8]>::to_vec, bytes);

    let protocols = Dimension::of(&protocols);
    let keys_used = !keys.unused();
    let keys = Dimension::of(&keys);
    let tail_used = !source_ports.unused() || !flags.unused();
    let source_ports = Dimension::of(&source_ports);
    let flags = Dimension::of(&flags);
    if protocols.rows.len() == 1 && !keys_used && !tail_used {
        return Ok(protocols.rows);
    }

    settings.set(Setting::ServiceUsed, 1);
    settings.set(Setting::Protocols, words.table(&protocols.direct())?);
    settings.set(Setting::KeyPages, keys.paged(words)?);
    let heads = cross(&protocols.rows, &keys.rows, words)?;
    settings.set(Setting::Heads, words.table(&heads.cells)?);
    settings.set(Setting::HeadsWidth, count(&keys.rows));
    if !tail_used {
        return Ok(heads.rows);
    }
    settings.set(Setting::TailUsed, 1);
    settings.set(Setting::SourcePortPages, source_ports.paged(words)?);
    settings.set(Setting::Flags, words.table(&flags.direct())?);
    let tails = cross(&source_ports.rows, &flags.rows, words)?;
    settings.set(Setting::Tails, words.table(&tails.cells)?);
    settings.set(Setting::TailsWidth, count(&flags.rows));
    let services = cross(&heads.rows, &tails.rows, words)?;
    settings.set(Setting::ServiceTable, words.table(&services.cells)?);
    settings.set(Setting::ServiceTableWidth, count(&tails.rows));
    Ok(services.rows)
}

/// Table reads that finding a service class takes at most.
pub(super) fn reads(settings: &Settings) -> u32 {
    match (settings.of(Setting::ServiceUsed), settings.of(Setting::TailUsed)) {
        (0, _) => 0,
        // Protocol, two for the key, head.
        (_, 0) => 4,
        // And two for the source port, flags, tail, service.
        _ => 9,
    }
}

/// The classes of one dimension. Class 0 holds the packets that have no value in it.
struct Dimension {
    partition: Partition,
    rows: Vec<Bits>,
}

impl Dimension {
    fn of(conditions: &Conditions) -> Self {
        let partition = Partition::of(&conditions.sets);
        let rows = conditions.rows_of(&partition);
        Self { partition, rows }
    }

    /// The classes of 256 values.
    fn direct(&self) -> Vec<u32> {
        (0..=u8::MAX)
            .map(|value| self.partition.class(value.into()))
            .collect()
    }

    /// Writes the classes of 65,536 values: a directory of 256 pages of 256 values, equal pages once. Returns the
    /// directory.
    fn paged(&self, words: &mut Words) -> Result<u32, CompileError> {
        let mut written: Vec<(Vec<u32>, u32)> = Vec::new();
        let mut directory = Vec::with_capacity(256);
        for high in 0..=u8::MAX {
            let page: Vec<u32> = (0..=u8::MAX)
                .map(|low| self.partition.class(u16::from_be_bytes([high, low]).into()))
                .collect();
            let known = written
                .iter()
                .find(|(known, _)| *known == page)
                .map(|(_, index)| *index);
            let index = match known {
                Some(index) => index,
                None => {
                    let index = words.table(&page)?;
                    written.push((page, index));
                    index
                }
            };
            directory.push(index);
        }
        words.table(&directory)
    }
}

/// Two dimensions combined, when the table of their pairs has room.
pub(super) fn cross(rows: &[Bits], columns: &[Bits], words: &Words) -> Result<Pairs, CompileError> {
    let most = Most {
        pairs: words.left() / 4,
        classes: u64::MAX,
        work: MOST_WORK,
    };
    Pairs::of(rows, columns, most).ok_or_else(|| words.too_large())
}

/// Some four seconds.
const MOST_WORK: u64 = 5_000_000_000;

fn count(classes: &[Bits]) -> u32 {
    u32::try_from(classes.len()).unwrap_or(u32::MAX)
}

fn bytes(values: &[u8]) -> Vec<Span> {
    values
        .iter()
        .map(|value| Span {
            first: (*value).into(),
            last: (*value).into(),
        })
        .collect()
}

fn ranges(ranges: &[PortRange]) -> Vec<Span> {
    ranges
        .iter()
        .map(|range| Span {
            first: range.first.into(),
            last: range.last.into(),
        })
        .collect()
}

fn range_key(ranges: &[PortRange]) -> Vec<(u16, u16)> {
    ranges.iter().map(|range| (range.first, range.last)).collect()
}
