//! Where and when: the interface and the moment, and how they enter the service class.
//!
//! Few policies ask for either. They become one small number, the *context*, and the context one more factor of the service.

use crate::Tables;
use crate::wire::{InterfaceEntry, MAX_MOMENTS, Setting, interface_cell};

/// What the tables say of the interface with the kernel's number `number`.
#[inline(always)]
pub(crate) fn interface(tables: &impl Tables, number: u32) -> Option<InterfaceEntry> {
    if tables.setting(Setting::InterfacesUsed) == 0 {
        return Some(InterfaceEntry { class: 0, zone: 0 });
    }
    let cell = interface_cell(
        number,
        tables.setting(Setting::InterfacesFactor),
        tables.setting(Setting::InterfacesBits),
    );
    let double = tables.double((tables.setting(Setting::Interfaces) >> 1).wrapping_add(cell))?;
    let word = if double & u64::from(u32::MAX) == u64::from(number) {
        double >> 32
    } else {
        0
    };
    #[expect(clippy::cast_possible_truncation, reason = "the high half of a 64-bit word")]
    Some(InterfaceEntry::unpack(word as u32))
}

/// The context of an interface class at the moment `now`, in nanoseconds since boot.
#[inline(always)]
pub(crate) fn context(tables: &impl Tables, interface: u32, now: u64) -> Option<u32> {
    if tables.setting(Setting::ContextUsed) == 0 {
        return Some(0);
    }
    let epoch = epoch(tables, now)?;
    let cell = interface
        .wrapping_mul(tables.setting(Setting::ContextsWidth))
        .wrapping_add(epoch);
    tables.word(tables.setting(Setting::Contexts).wrapping_add(cell))
}

/// The service class, which depends on the context too.
#[inline(always)]
pub(super) fn service(tables: &impl Tables, service: u32, context: u32) -> Option<u32> {
    if tables.setting(Setting::ContextUsed) == 0 {
        return Some(service);
    }
    let cell = service
        .wrapping_mul(tables.setting(Setting::ServiceContextsWidth))
        .wrapping_add(context);
    tables.word(tables.setting(Setting::ServiceContexts).wrapping_add(cell))
}

/// How many of the moments have come: `now` is not before them. A binary search of as many steps as a bound has bits.
#[inline(always)]
fn epoch(tables: &impl Tables, now: u64) -> Option<u32> {
    let moments = tables.setting(Setting::Moments);
    if moments == 0 {
        return Some(0);
    }
    let table = tables.setting(Setting::MomentTable) >> 1;
    let mut past = 0;
    let mut step = MAX_MOMENTS.div_ceil(2);
    while step > 0 {
        let candidate = past + step;
        if candidate <= moments && tables.double(table.wrapping_add(candidate - 1))? <= now {
            past = candidate;
        }
        step /= 2;
    }
    Some(past)
}

const _: () = assert!(
    MAX_MOMENTS == 255,
    "the steps 128, 64 … 1 reach every number of moments"
);
