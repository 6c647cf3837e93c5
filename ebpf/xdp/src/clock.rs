//! The clock of flows and buckets.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use ravelin_datapath::Tables;
use ravelin_datapath::wire::Setting;

/// The time, where the settings say that it is told: tests have hours pass.
#[map]
static FLOW_CLOCK: Array<u64> = Array::with_max_entries(1, 0);

/// What this processor has last read of the clock: the number of the kernel's tick, and the time.
#[map]
static CLOCK_READ: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(1, 0);

/// Nanoseconds of the flow clock, when this generation keeps flows or limits something.
///
/// Its few milliseconds' resolution is enough for timeouts of seconds. It moves with the kernel's tick, whose number is one load of memory;
/// so the clock itself, a call, is asked once a tick.
#[inline(always)]
pub fn tick(tables: &impl Tables) -> u64 {
    let asked = tables.setting(Setting::FlowsUsed)
        | tables.setting(Setting::LimitsUsed)
        | tables.setting(Setting::SynBudgetUsed);
    if asked == 0 {
        return 0;
    }
    if tables.setting(Setting::FlowClockTold) != 0 {
        return FLOW_CLOCK.get(0).copied().unwrap_or(0);
    }
    let Some(read) = CLOCK_READ.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: this CPU's own element; the helpers take nothing and give a number.
    unsafe {
        let number = bpf_jiffies64();
        if (*read)[0] != number {
            *read = [number, bpf_ktime_get_coarse_ns()];
        }
        (*read)[1]
    }
}
