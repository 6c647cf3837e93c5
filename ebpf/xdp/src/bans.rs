//! The maps of bans, and `Bans` over them.

use core::arch::asm;

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};
use ravelin_datapath::ban::{self, Asked, BanTables, Bans};
use ravelin_datapath::packet::Address;
use ravelin_datapath::wire::{
    BAN_REASON_BYTES, BAN_REASONS as REASONS, BANS as MOST, BanKey, BanValue, FILTER_WORDS, Lengths, Plane,
};

/// Every ban. Shared by all generations, pinned. Memory is taken as bans come.
#[map]
static BANS: HashMap<BanKey, BanValue> = HashMap::with_max_entries(MOST, BPF_F_NO_PREALLOC);

/// What nearly all packets read of them. Shared by all generations, pinned; the daemon writes it through a mapping.
#[map]
static BAN_FILTER: Array<[u64; FILTER_WORDS as usize]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Number → reason: the daemon's, kept beside the bans so that both live and die together. No program reads it.
#[map]
static BAN_REASONS: HashMap<u32, [u8; BAN_REASON_BYTES]> =
    HashMap::with_max_entries(REASONS, BPF_F_NO_PREALLOC);

/// What this generation's policy never bans; the daemon gives it the size that the policy needs.
#[map]
static NEVER_BAN: HashMap<BanKey, u32> = HashMap::with_max_entries(1, 0);

/// The lengths of its prefixes: written before load, then frozen, so that a policy without any has no code for them.
#[unsafe(no_mangle)]
static NEVER_BAN_LENGTHS: [u64; Lengths::COUNT] = [0; Lengths::COUNT];

/// The bans of this host, as the program of a packet sees them.
#[derive(Clone, Copy)]
pub struct MapBans;

impl Bans for MapBans {
    #[inline(always)]
    fn lengths(&self, lengths: Lengths) -> u64 {
        Opened::open().map_or(u64::MAX, |bans| bans.filter(lengths as u32))
    }

    #[inline(always)]
    fn holds<const PLANE: u8>(&self, source: Address) -> bool {
        // The map has one element, always.
        Opened::open().is_none_or(|bans| ban::behind_filter::<PLANE>(&bans, source))
    }
}

// Global functions to the kernel, verified once for all values of their arguments.

/// The search through these lengths of IPv4 prefixes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ravelin_searched4(high: u64, short: u64) -> u32 {
    let address = Address { high, low: 0 };
    searched(Asked {
        address,
        plane: Plane::V4,
        long: 0,
        short,
    })
}

/// The search through these lengths of IPv6 prefixes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ravelin_searched6(high: u64, low: u64, long: u64, short: u64) -> u32 {
    let address = Address { high, low };
    searched(Asked {
        address,
        plane: Plane::V6,
        long,
        short,
    })
}

#[inline(always)]
fn searched(asked: Asked) -> u32 {
    // It asks nothing of the filter: whoever calls it has.
    let filter = core::ptr::null();
    u32::from(ban::search(&Opened { filter }, asked))
}

/// The maps, with the place of the filter.
struct Opened {
    filter: *const u64,
}

impl Opened {
    #[inline(always)]
    fn open() -> Option<Self> {
        let filter = BAN_FILTER.get_ptr(0)?.cast();
        Some(Self { filter })
    }
}

impl BanTables for Opened {
    #[inline(always)]
    fn filter(&self, index: u32) -> u64 {
        if index >= FILTER_WORDS {
            return u64::MAX;
        }
        let mut at = self.filter;
        // SAFETY: an addition to a pointer: the map's value has `FILTER_WORDS` words. Written out for the reason that `MapTables::read`
        // gives.
        unsafe {
            asm!(
                "{index} <<= 3", "{at} += {index}",
                index = inout(reg) u64::from(index) => _, at = inout(reg) at, options(nomem, nostack)
            );
            *at
        }
    }

    #[inline(always)]
    fn end(&self, key: BanKey) -> Option<u64> {
        // SAFETY: the daemon may replace the ban under us; each word is whole all the same.
        unsafe { BANS.get(&key) }.map(|[end, _, _]| *end)
    }

    #[inline(always)]
    fn never_lengths(&self, lengths: Lengths) -> u64 {
        // SAFETY: a valid reference to a static; volatile, because the loader replaces the value after compilation.
        unsafe { core::ptr::read_volatile(&NEVER_BAN_LENGTHS[lengths as usize]) }
    }

    #[inline(always)]
    fn never(&self, key: BanKey) -> bool {
        NEVER_BAN.get_ptr(&key).is_some()
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: the helper takes nothing and gives a number.
        unsafe { bpf_ktime_get_boot_ns() }
    }

    #[inline(always)]
    fn search(&self, asked: Asked) -> bool {
        let Address { high, low } = asked.address;
        let found = if matches!(asked.plane, Plane::V4) {
            ravelin_searched4(high, asked.short)
        } else {
            ravelin_searched6(high, low, asked.long, asked.short)
        };
        found != 0
    }
}
