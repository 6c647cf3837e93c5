//! The tables of the context: interface and moment → context, and the service classes that depend on it.

use ravelin_datapath::wire::{InterfaceEntry, MAX_MOMENTS, MAX_ZONES, Setting, Settings, interface_cell};

use super::CompileError;
use super::bits::Bits;
use super::service::cross;
use super::words::Words;
use crate::ir::Ir;
use crate::policy::{Clock, InterfaceFacts};

/// Writes the interface table: each interface's class, its place plus one, and its zone.
pub(super) fn write_interfaces(
    interfaces: &[InterfaceFacts],
    zones: &[u32],
    words: &mut Words,
    settings: &mut Settings,
) -> Result<(), CompileError> {
    // An interface that does not exist now has the number 0, which no packet has.
    let entries: Vec<(u32, u32)> = (1..)
        .zip(interfaces.iter().zip(zones))
        .filter(|(_, (interface, _))| interface.index != 0)
        .map(|(class, (interface, zone))| (interface.index, InterfaceEntry { class, zone: *zone }.pack()))
        .collect();
    let table = InterfaceTable::of(&entries).ok_or(CompileError::TooManyInterfaces {
        interfaces: interfaces.len(),
    })?;
    settings.set(Setting::InterfacesUsed, 1);
    settings.set(Setting::InterfacesBits, table.bits);
    settings.set(Setting::InterfacesFactor, table.factor);
    settings.set(Setting::Interfaces, words.doubles(table.cells.into_iter())?);
    Ok(())
}

/// A table in which no two interfaces meet.
struct InterfaceTable {
    bits: u32,
    factor: u32,
    cells: Vec<u64>,
}

impl InterfaceTable {
    /// Tries factors, and larger tables, until one fits. With the bounds on interfaces that never takes many.
    fn of(entries: &[(u32, u32)]) -> Option<Self> {
        let least = entries.len().next_power_of_two().ilog2().max(1);
        let sizes = (least..=MAX_BITS).flat_map(|bits| (0..FACTORS).map(move |number| (bits, number)));
        sizes
            .map(|(bits, number): (u32, u32)| {
                (
                    bits,
                    GOLDEN
                        .wrapping_mul(number.wrapping_mul(2) + 1)
                        .rotate_left(number)
                        | 1,
                )
            })
            .find_map(|(bits, factor)| {
                let mut cells = vec![0; 1 << bits];
                for (number, word) in entries {
                    let cell = usize::try_from(interface_cell(*number, factor, bits)).ok()?;
                    let cell = cells.get_mut(cell).filter(|cell| **cell == 0)?;
                    *cell = u64::from(*number) | u64::from(*word) << 32;
                }
                Some(Self { bits, factor, cells })
            })
    }
}

/// 2^32 divided by the golden ratio: neighbouring numbers land far apart.
const GOLDEN: u32 = 0x9e37_79b9;
const FACTORS: u32 = 128;
/// 512 KiB of table: 256 interfaces with the worst of numbers find a place long before.
const MAX_BITS: u32 = 16;

/// Crosses the service classes with where and when, if a row asks for either; returns the classes that come out.
pub(super) fn write(
    ir: &Ir,
    interfaces: usize,
    clock: Clock,
    services: Vec<Bits>,
    words: &mut Words,
    settings: &mut Settings,
) -> Result<Vec<Bits>, CompileError> {
    let moments = u32::try_from(ir.moments.len())
        .ok()
        .filter(|moments| *moments <= MAX_MOMENTS)
        .ok_or(CompileError::TooManyMoments {
            moments: ir.moments.len(),
            limit: MAX_MOMENTS,
        })?;
    let asks_for_interfaces = ir.rows.iter().any(|row| row.interfaces.is_some());
    if moments == 0 && !asks_for_interfaces {
        return Ok(services);
    }
    let places = std::iter::once(None).chain((0..interfaces).map(Some));
    let by_interface: Vec<Bits> = places
        .map(|place| {
            satisfied(ir, |row| {
                row.interfaces
                    .as_ref()
                    .is_none_or(|wanted| wanted.contains(&place))
            })
        })
        .collect();
    let by_epoch: Vec<Bits> = (0..=moments)
        .map(|epoch| {
            satisfied(ir, |row| {
                row.epochs
                    .is_none_or(|(first, last)| (first..=last).contains(&epoch))
            })
        })
        .collect();
    if moments > 0 {
        let table = ir.moments.iter().map(|moment| clock.since_boot(*moment));
        settings.set(Setting::Moments, moments);
        settings.set(Setting::MomentTable, words.doubles(table)?);
    }
    let contexts = cross(&by_interface, &by_epoch, words)?;
    settings.set(Setting::ContextUsed, 1);
    settings.set(Setting::Contexts, words.table(&contexts.cells)?);
    settings.set(Setting::ContextsWidth, moments + 1);
    let crossed = cross(&services, &contexts.rows, words)?;
    settings.set(Setting::ServiceContexts, words.table(&crossed.cells)?);
    settings.set(
        Setting::ServiceContextsWidth,
        u32::try_from(contexts.rows.len()).unwrap_or(u32::MAX),
    );
    Ok(crossed.rows)
}

fn satisfied(ir: &Ir, holds: impl Fn(&crate::ir::Row) -> bool) -> Bits {
    let mut rows = Bits::none(ir.rows.len());
    for (number, row) in ir.rows.iter().enumerate() {
        rows.set(number, holds(row));
    }
    rows
}

/// Table reads that the context takes at most.
pub(super) fn reads(settings: &Settings) -> u32 {
    let interface = settings.of(Setting::InterfacesUsed);
    let moment = match settings.of(Setting::Moments) {
        0 => 0,
        moments => moments.ilog2() + 1,
    };
    interface + moment + 2 * settings.of(Setting::ContextUsed)
}

const _: () = assert!(MAX_ZONES < 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_finds_its_own_cell_whatever_the_numbers() {
        let near: Vec<(u32, u32)> = (1..=256).map(|number| (number, number)).collect();
        let far: Vec<(u32, u32)> = (1..=255)
            .map(|number: u32| (number.wrapping_mul(0x0101_0101) | 1, number))
            .collect();
        let powers: Vec<(u32, u32)> = (0..32).map(|bit| (1 << bit, bit + 1)).collect();
        for entries in [near, far, powers, vec![(7, 1)]] {
            let table = InterfaceTable::of(&entries).unwrap_or_else(|| panic!("{entries:?}"));
            for (number, word) in &entries {
                let cell = interface_cell(*number, table.factor, table.bits) as usize;
                assert_eq!(table.cells[cell], u64::from(*number) | u64::from(*word) << 32);
            }
        }
    }
}
