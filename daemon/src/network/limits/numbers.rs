//! The numbers of the limits that there are, kept beside the buckets: whoever finds a bucket knows what it is one of, also without a daemon.

use std::borrow::BorrowMut;

use aya::maps::{HashMap as BpfHashMap, MapData, MapError};
use ravelin_datapath::wire::{LimitKey, LimitRecord, SYN_BUDGET};
use ravelin_rules::TableImage;

/// The pinned map of the numbers.
pub type Numbers<M> = BpfHashMap<M, LimitKey, LimitRecord>;

/// What the limits of these tables are called, with their numbers. `slots` gives each rule, by its index, its counter slot.
pub fn of<'i>(image: &'i TableImage, slots: &'i [u32]) -> impl Iterator<Item = (LimitKey, LimitRecord)> + 'i {
    let rules = image.limits().filter_map(|(rule, limit)| {
        let slot = slots.get(usize::try_from(rule).ok()?)?;
        Some(([*slot, limit.stamp], limit.pack()))
    });
    let budget = image
        .syn_budget()
        .map(|limit| ([SYN_BUDGET, limit.stamp], limit.pack()));
    rules.chain(budget)
}

/// Enters the numbers of these tables.
///
/// # Errors
///
/// When the kernel refuses.
pub fn enter<M: BorrowMut<MapData>>(
    numbers: &mut Numbers<M>,
    image: &TableImage,
    slots: &[u32],
) -> Result<(), MapError> {
    of(image, slots).try_for_each(|(key, record)| numbers.insert(key, record, 0))
}
