//! The lines of hash tables, in maps that all generations share.

use core::arch::asm;
use core::marker::PhantomData;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use ravelin_datapath::hash_table::{Line as _, Lines};
use ravelin_datapath::wire::{
    BUCKET_LINE, BUCKET_LINES, FLOW_LINE, FLOW_LINES, HASH_NUMBERS, OWN_BUCKET_LINES,
};

use crate::frame::forget;
use crate::words::Words;

/// The secret numbers of hash tables. Shared by all generations, pinned; the daemon draws them when it makes the map.
#[map]
static HASH_SECRET: Array<[u64; HASH_NUMBERS]> = Array::with_max_entries(1, 0);

/// The lines of one table: pinned, and written by the daemon too, through a mapping.
pub trait Table: Copy {
    /// How many there are, less one.
    fn mask() -> u32;

    /// The line of that number.
    fn line(number: u32) -> Option<Words>;
}

/// A table with its map, and the constant that says how large that is: written before load, as the map may be made smaller.
macro_rules! table {
    ($(#[$text:meta])* $table:ident, $map:ident, $mask:ident, $words:expr, $lines:expr) => {
        #[map]
        static $map: Array<[u64; $words]> = Array::with_max_entries($lines, BPF_F_MMAPABLE);

        #[unsafe(no_mangle)]
        static $mask: u32 = $lines - 1;

        $(#[$text])*
        #[derive(Clone, Copy)]
        pub struct $table;

        impl Table for $table {
            #[inline(always)]
            fn mask() -> u32 {
                // SAFETY: a valid reference to a static; volatile, because the loader replaces the value after compilation.
                unsafe { core::ptr::read_volatile(&$mask) }
            }

            #[inline(always)]
            fn line(number: u32) -> Option<Words> {
                $map.get_ptr_mut(number).map(Words::of)
            }
        }
    };
}
table!(
    /// Every flow.
    FlowLines, FLOWS, FLOWS_MASK, FLOW_LINE, FLOW_LINES
);
table!(
    /// Buckets of sources; bounded, because anybody can forge sources.
    SourceLines,
    LIMITS_SOURCES,
    LIMITS_SOURCES_MASK,
    BUCKET_LINE,
    BUCKET_LINES
);
table!(
    /// Buckets that belong to limits.
    OwnLines, LIMITS_OWN, LIMITS_OWN_MASK, BUCKET_LINE, OWN_BUCKET_LINES
);

/// The lines of a table, with the secret numbers: that map has one element, always.
#[derive(Clone, Copy)]
pub struct MapLines<T>(Option<Words>, PhantomData<T>);

impl<T> MapLines<T> {
    /// The lines.
    #[inline(always)]
    pub fn open() -> Self {
        Self(HASH_SECRET.get_ptr_mut(0).map(Words::of), PhantomData)
    }
}

impl<T: Table> Lines for MapLines<T> {
    type Line = Words;

    #[inline(always)]
    fn mask(&self) -> u32 {
        T::mask()
    }

    #[inline(always)]
    fn secret(&self, index: usize) -> u64 {
        self.0.map_or(0, |numbers| numbers.load(index))
    }

    #[inline(always)]
    fn line(&self, number: u32) -> Option<Words> {
        self.0?;
        T::line(number)
    }

    #[inline(always)]
    fn forget(&self, number: u64) -> u64 {
        // A number from the map: the verifier knows nothing of it.
        forget(number, self.secret(0))
    }

    #[inline(always)]
    fn is_zero(&self, number: u64) -> u64 {
        let zero: u64;
        // SAFETY: sums in registers. What is not zero, or its opposite, has the highest bit.
        unsafe {
            asm!(
                "{zero} = {number}", "{zero} = -{zero}", "{zero} |= {number}", "{zero} >>= 63", "{zero} ^= 1",
                zero = out(reg) zero, number = in(reg) number, options(pure, nomem, nostack)
            );
        }
        zero
    }

    #[inline(always)]
    fn greater(&self, one: u64, other: u64) -> u64 {
        let mut less: u64;
        // SAFETY: sums in registers. The highest bit of the difference says which is less.
        unsafe {
            asm!(
                "{less} = {one}", "{less} -= {other}", "{less} >>= 63", "{less} = -{less}",
                less = out(reg) less, one = in(reg) one, other = in(reg) other, options(pure, nomem, nostack)
            );
        }
        one ^ ((one ^ other) & less)
    }

    #[inline(always)]
    fn after(&self, way: usize) -> usize {
        let mut way = way as u64;
        // SAFETY: a sum in a register.
        unsafe { asm!("{way} += 1", way = inout(reg) way, options(pure, nomem, nostack)) }
        way as usize
    }
}
