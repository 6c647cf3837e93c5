//! The lines of the flow table, in a map that all generations share.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use ravelin_datapath::flow::FlowTable;
use ravelin_datapath::hash_table::{Line as _, Lines};
use ravelin_datapath::wire::{FLOW_LINE, FLOW_LINES, HASH_NUMBERS};

use crate::frame::forget;
use crate::words::Words;

/// Every flow. Shared by all generations, pinned; the daemon clears it of what is over through a mapping.
#[map]
static FLOWS: Array<[u64; FLOW_LINE]> = Array::with_max_entries(FLOW_LINES, BPF_F_MMAPABLE);

/// Lines of that map, less one: written before load, as the map may be made smaller.
#[unsafe(no_mangle)]
static FLOW_LINES_MASK: u32 = FLOW_LINES - 1;

/// The secret numbers of hash tables. Shared by all generations, pinned; the daemon draws them when it makes the map.
#[map]
static HASH_SECRET: Array<[u64; HASH_NUMBERS]> = Array::with_max_entries(1, 0);

/// The flow table.
#[inline(always)]
pub fn table() -> FlowTable<FlowLines> {
    FlowTable::new(FlowLines(HASH_SECRET.get_ptr_mut(0).map(Words::of)))
}

/// Its lines, with the secret numbers: the map has one element, always.
#[derive(Clone, Copy)]
pub struct FlowLines(Option<Words>);

impl Lines for FlowLines {
    type Line = Words;

    #[inline(always)]
    fn mask(&self) -> u32 {
        // SAFETY: a valid reference to a static; volatile, because the loader replaces the value after compilation.
        unsafe { core::ptr::read_volatile(&FLOW_LINES_MASK) }
    }

    #[inline(always)]
    fn secret(&self, index: usize) -> u64 {
        self.0.map_or(0, |numbers| numbers.load(index))
    }

    #[inline(always)]
    fn line(&self, number: u32) -> Option<Words> {
        self.0?;
        FLOWS.get_ptr_mut(number).map(Words::of)
    }

    #[inline(always)]
    fn forget(&self, number: u64) -> u64 {
        // A number from the map: the verifier knows nothing of it.
        forget(number, self.secret(0))
    }
}
