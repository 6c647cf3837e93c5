//! Every map, in one place, and `Tables` over them.

use core::arch::asm;

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use ravelin_datapath::classify::{self, Walked};
use ravelin_datapath::wire::{
    CLASS_COUNTERS as CLASSES, Counter, Plane, REASON_COUNTERS as REASONS, RULE_NAME_BYTES,
    RULE_SLOTS as SLOTS, Setting, Settings, TABLE_ALIGNMENT, class_counter, reason_counter,
};
use ravelin_datapath::{Direction, Frame, Judgement, ParseClass, Tables, Window, Witness};

/// The settings of this generation: written before load, then frozen, so that the verifier knows every value.
#[unsafe(no_mangle)]
static SETTINGS: [u32; Settings::COUNT] = [0; Settings::COUNT];

/// The same of its outbound side; all zero when it has none.
#[unsafe(no_mangle)]
static OUTBOUND_SETTINGS: [u32; Settings::COUNT] = [0; Settings::COUNT];

/// The tables of this generation: one value that holds all words. The daemon makes the map, in the size that the generation
/// needs, and gives it this name.
#[map]
static TABLES: Words = Array::with_max_entries(1, 0);

/// The same of its outbound side.
#[map]
static OUTBOUND_TABLES: Words = Array::with_max_entries(1, 0);

/// Packets and bytes by direction, reason and verdict. Shared by all generations, pinned.
#[map]
static REASON_COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(REASONS, 0);

/// Packets and bytes by direction and parse class seen. Shared by all generations, pinned.
#[map]
static CLASS_COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(CLASSES, 0);

/// Packets and bytes by rule slot. Shared by all generations, pinned.
#[map]
static RULE_COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(SLOTS, 0);

/// Rule name → slot: the daemon's directory, kept beside the counters so that both live and die together. No program
/// reads it.
#[map]
static RULE_SLOTS: HashMap<[u8; RULE_NAME_BYTES], u32> = HashMap::with_max_entries(SLOTS, BPF_F_NO_PREALLOC);

type Words = Array<[u32; TABLE_ALIGNMENT as usize]>;

/// The tables of this generation for what comes in.
pub type Inbound = MapTables<false>;

/// The tables of this generation for what goes out.
pub type Outbound = MapTables<true>;

/// The tables of one direction.
#[derive(Clone, Copy)]
pub struct MapTables<const OUTBOUND: bool> {
    words: *const u32,
}

impl<const OUTBOUND: bool> MapTables<OUTBOUND> {
    const DIRECTION: Direction = if OUTBOUND {
        Direction::Outbound
    } else {
        Direction::Inbound
    };

    /// The tables: looked up once a packet, and every read after that is an addition.
    #[inline(always)]
    pub fn open() -> Option<Self> {
        let tables = if OUTBOUND { &OUTBOUND_TABLES } else { &TABLES };
        let words = tables.get_ptr(0)?.cast::<u32>();
        Some(Self { words })
    }

    /// A constant of the generation.
    #[inline(always)]
    pub fn setting(setting: Setting) -> u32 {
        let settings = if OUTBOUND { &OUTBOUND_SETTINGS } else { &SETTINGS };
        // SAFETY: a valid reference to a static; volatile, because the loader replaces the value after compilation.
        unsafe { core::ptr::read_volatile(&settings[setting as usize]) }
    }

    /// Nanoseconds since boot, when these tables ask for the time.
    #[inline(always)]
    pub fn now() -> u64 {
        if Self::setting(Setting::Moments) == 0 {
            return 0;
        }
        // SAFETY: the helper takes nothing and gives a number.
        unsafe { bpf_ktime_get_boot_ns() }
    }

    /// Counts a packet that was judged by these tables.
    #[inline(always)]
    pub fn count(judgement: &Judgement, bytes: u64) {
        let reason = reason_counter(Self::DIRECTION, judgement.reason, judgement.verdict);
        add(&REASON_COUNTERS, reason, bytes);
        if let Some(entry) = judgement.rule.entry() {
            add(&RULE_COUNTERS, entry.slot, bytes);
        }
        if let Some(entry) = judgement.observed.entry() {
            add(&RULE_COUNTERS, entry.slot, bytes);
        }
    }

    /// Counts the parse classes of `frame` as they are seen.
    #[inline(always)]
    pub fn classes<F: Frame>(frame: &F) -> Classes<'_, F, OUTBOUND> {
        Classes(frame)
    }

    /// The `T`s from the one at `index`, counted in `T`s.
    #[inline(always)]
    fn read<T: Copy + Default, const N: usize>(self, index: u32) -> Option<[T; N]> {
        let size = size_of::<T>() / size_of::<u32>();
        if index >= (Self::setting(Setting::Length) / size as u32).saturating_sub(N as u32 - 1) {
            return None;
        }
        let mut at = self.words.cast::<T>();
        // SAFETY: two additions to a pointer: the map holds as many words as the settings say, a multiple of the largest `T`.
        // Written out, because the compiler would add up index and pointer before it compares, and to the verifier such a sum
        // has no bound.
        unsafe {
            asm!(
                "{index} <<= {shift}", "{at} += {index}",
                index = inout(reg) u64::from(index) => _, at = inout(reg) at,
                shift = const size_of::<T>().trailing_zeros(), options(nomem, nostack)
            );
        }
        let mut all = [T::default(); N];
        let mut item = 0;
        while item < N {
            // SAFETY: as above; the map is aligned to a page.
            all[item] = unsafe { *at.add(item) };
            item += 1;
        }
        Some(all)
    }
}

impl<const OUTBOUND: bool> Tables for MapTables<OUTBOUND> {
    #[inline(always)]
    fn setting(&self, setting: Setting) -> u32 {
        Self::setting(setting)
    }

    #[inline(always)]
    fn word(&self, index: u32) -> Option<u32> {
        self.read(index).map(|[word]| word)
    }

    #[inline(always)]
    fn double(&self, index: u32) -> Option<u64> {
        self.read(index).map(|[double]| double)
    }

    #[inline(always)]
    fn doubles<const N: usize>(&self, first: u32) -> Option<[u64; N]> {
        self.read(first)
    }

    #[inline(always)]
    fn window(&self, first: u32, length: u32) -> Option<impl Window> {
        let doubles = Self::setting(Setting::Length) / 2;
        if length > doubles || first > doubles - length {
            return None;
        }
        Some(Doubles {
            // SAFETY: as in `read`; the whole window was just compared with the length of the tables.
            first: unsafe { self.words.cast::<u64>().add(first as usize) },
            length,
        })
    }

    #[inline(always)]
    fn walk<const PLANE: u8>(&self, classes: classify::Classes) -> Walked {
        let classify::Classes {
            source,
            destination,
            service,
        } = classes;
        let walk = match (OUTBOUND, PLANE == Plane::V4 as u8) {
            (false, true) => ravelin_walk4,
            (false, false) => ravelin_walk6,
            (true, true) => ravelin_outbound_walk4,
            (true, false) => ravelin_outbound_walk6,
        };
        Walked(walk(source, destination, service))
    }
}

/// The walk through bit vectors, by itself: a global function to the kernel, verified once for all values of its arguments.
macro_rules! walk {
    ($name:ident, $tables:ty, $plane:expr) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(source: u32, destination: u32, service: u32) -> u64 {
            let classes = classify::Classes {
                source,
                destination,
                service,
            };
            let Walked(found) = match <$tables>::open() {
                Some(tables) => classify::walk::<{ $plane as u8 }>(&tables, classes),
                None => Walked::FAULT,
            };
            found
        }
    };
}
walk!(ravelin_walk4, Inbound, Plane::V4);
walk!(ravelin_walk6, Inbound, Plane::V6);
walk!(ravelin_outbound_walk4, Outbound, Plane::V4);
walk!(ravelin_outbound_walk6, Outbound, Plane::V6);

/// Some doubles of the tables.
struct Doubles {
    first: *const u64,
    length: u32,
}

impl Window for Doubles {
    #[inline(always)]
    fn double(&self, index: u32) -> Option<u64> {
        if index >= self.length {
            return None;
        }
        // SAFETY: the window is inside the tables, and the index inside the window.
        Some(unsafe { *self.first.add(index as usize) })
    }
}

/// Counts the parse classes of one frame.
pub struct Classes<'a, F, const OUTBOUND: bool>(&'a F);

impl<F: Frame, const OUTBOUND: bool> Witness for Classes<'_, F, OUTBOUND> {
    #[inline(always)]
    fn see(&mut self, class: ParseClass) {
        let counter = class_counter(MapTables::<OUTBOUND>::DIRECTION, class);
        add(&CLASS_COUNTERS, counter, self.0.length() as u64);
    }
}

#[inline(always)]
fn add(counters: &PerCpuArray<Counter>, index: u32, bytes: u64) {
    if let Some(counter) = counters.get_ptr_mut(index) {
        // SAFETY: the pointer is this CPU's own element, which no other program run touches at the same time.
        unsafe {
            (*counter)[0] += 1;
            (*counter)[1] += bytes;
        }
    }
}
