//! `Flows` over two maps that all generations share.
//!
//! A flow that is opening stands in a table where the oldest gives way to the newest, so a flood of forged first packets pushes out
//! nothing but first packets. One that both ends have proven to be there moves to a table of its own, where nothing is pushed out:
//! what finds no room there stays where it was, and is counted.

use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, xdp_md};
use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray};
use aya_ebpf::programs::XdpContext;
use ravelin_datapath::classify::Classes;
use ravelin_datapath::flow::{self, Again, Claim, Followed, Passage};
use ravelin_datapath::limit::{Draw, Drawn};
use ravelin_datapath::wire::{
    DATAGRAMS, FLOW_WORDS, FLOWS, FlowKey, FlowRecord, FlowTables, Plane, Setting, SourceKey,
};
use ravelin_datapath::{FlowCell, Flows, Frame, Memory, Tables};

use crate::cookies;
use crate::limits;
use crate::maps::{Inbound, Outbound};

/// Flows whose both ends are there. Shared by all generations, pinned.
#[map]
static FLOWS_SETTLED: HashMap<FlowKey, FlowRecord> = HashMap::with_max_entries(FLOWS, BPF_F_NO_PREALLOC);

/// Flows of which one end has spoken. Shared by all generations, pinned.
#[map]
static FLOWS_OPENING: LruHashMap<FlowKey, FlowRecord> = LruHashMap::with_max_entries(FLOWS, 0);

/// Datagrams in fragments whose first one has come: the oldest gives way, so a flood of first fragments takes no more than this. Shared by
/// all generations, pinned.
#[map]
static FRAGMENTS: LruHashMap<FlowKey, FlowRecord> = LruHashMap::with_max_entries(DATAGRAMS, 0);

/// What became of flows: opened, settled, found no room. Shared by all generations, pinned.
#[map]
static FLOW_COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(FlowTables::COUNTERS, 0);

/// The time, where the settings say that it is told: tests have hours pass.
#[map]
static FLOW_CLOCK: Array<u64> = Array::with_max_entries(1, 0);

/// Nanoseconds of the flow clock, when this generation keeps flows or limits something.
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
    // SAFETY: the helper takes nothing and gives a number. Its few milliseconds' resolution is enough for timeouts of seconds, and
    // it costs a tenth of the exact clock.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// What this processor's packet claims: here and not on the stack, which is 512 bytes for all functions together. No other packet comes
/// between: programs run with bottom halves off.
#[map]
static FLOW_CLAIM: PerCpuArray<Claim> = PerCpuArray::with_max_entries(1, 0);

/// The classes of its flow's first packet, for the same reason.
#[map]
static FLOW_CLASSES: PerCpuArray<Classes> = PerCpuArray::with_max_entries(1, 0);

/// What the program of one direction remembers.
pub struct KernelMemory<const OUTBOUND: bool> {
    /// The packet, for the host's TCP; none of the outbound program's asks that.
    context: *mut xdp_md,
}

impl KernelMemory<false> {
    /// For a packet that comes in.
    #[inline(always)]
    pub fn inbound(context: &XdpContext) -> Self {
        Self { context: context.ctx }
    }
}

impl KernelMemory<true> {
    /// For a packet that goes out.
    #[inline(always)]
    pub const fn outbound() -> Self {
        Self {
            context: core::ptr::null_mut(),
        }
    }
}

impl<const OUTBOUND: bool> Memory for KernelMemory<OUTBOUND> {
    #[inline(always)]
    fn claim(&self, make: impl FnOnce() -> Claim) {
        if let Some(at) = FLOW_CLAIM.get_ptr_mut(0) {
            // SAFETY: this CPU's own element.
            unsafe { at.write(make()) }
        }
    }

    #[inline(always)]
    fn pass(&self, again: Again) -> Passage {
        let pass = if OUTBOUND {
            ravelin_outbound_pass
        } else {
            ravelin_pass
        };
        Passage::unpack(pass(again.0))
    }

    #[inline(always)]
    fn again<const PLANE: u8>(&self, by_remote: bool) -> Again {
        // Calls by name, each: there are no calls by address here.
        let fault = match (by_remote, PLANE == Plane::V4 as u8) {
            (true, true) => ravelin_classes4(),
            (true, false) => ravelin_classes6(),
            (false, true) => ravelin_outbound_classes4(),
            (false, false) => ravelin_outbound_classes6(),
        };
        if fault != 0 {
            return Again::FAULT;
        }
        Again(match (by_remote, PLANE == Plane::V4 as u8) {
            (true, true) => ravelin_again4(),
            (true, false) => ravelin_again6(),
            (false, true) => ravelin_outbound_again4(),
            (false, false) => ravelin_outbound_again6(),
        })
    }

    #[inline(always)]
    fn open(&self, rule: u32) -> Option<()> {
        let open = if OUTBOUND {
            ravelin_outbound_open
        } else {
            ravelin_open
        };
        (open(rule) == 0).then_some(())
    }

    #[inline(always)]
    fn first(&self, denied: bool) {
        ravelin_first(denied.into());
    }

    #[inline(always)]
    fn follow(&self) -> Followed {
        Followed::unpack(ravelin_follow())
    }

    #[inline(always)]
    fn draw(&self, make: impl FnOnce() -> Draw) -> Drawn {
        limits::draw::<OUTBOUND>(make)
    }

    #[inline(always)]
    fn answer(&self, _: &impl Frame) -> bool {
        !OUTBOUND && cookies::answers(self.context)
    }

    #[inline(always)]
    fn prove(&self, _: &impl Frame) {
        if !OUTBOUND && claim().is_some_and(Claim::acknowledges) {
            cookies::prove(self.context);
        }
    }
}

/// The packet that claims this brings back a cookie.
#[inline(always)]
pub fn prove() {
    if let Some(claim) = FLOW_CLAIM.get_ptr_mut(0) {
        // SAFETY: this CPU's own element.
        unsafe { (*claim).proven = 1 }
    }
}

/// What this processor's packet claims.
#[inline(always)]
fn claim() -> Option<&'static Claim> {
    // SAFETY: this CPU's own element, which is written before anything is asked about it, and by no other packet while this one is
    // judged.
    unsafe { FLOW_CLAIM.get_ptr(0)?.as_ref() }
}

// Global functions to the kernel: verified once, whatever leads to them.

/// What flows say to this packet, which goes the way of the first tables; and the entry of its flow, 0 when that is done.
macro_rules! flows {
    ($pass:ident, $open:ident, $tables:ty, $other:ty) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $pass(again: u64) -> u32 {
            let (Some(claim), Some(tables), Some(other)) = (claim(), <$tables>::open(), <$other>::open())
            else {
                return Passage::Fault as u32;
            };
            flow::pass(&tables, &other, &MapFlows, claim, Again(again)) as u32
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $open(rule: u32) -> u32 {
            let (Some(claim), Some(tables)) = (claim(), <$tables>::open()) else {
                return 1;
            };
            u32::from(flow::open(&tables, &MapFlows, claim, rule).is_none())
        }
    };
}
flows!(ravelin_pass, ravelin_open, Inbound, Outbound);
flows!(ravelin_outbound_pass, ravelin_outbound_open, Outbound, Inbound);

/// Remembers what became of this packet, a first fragment.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ravelin_first(denied: u32) -> u32 {
    if let Some(claim) = claim() {
        flow::first(&MapFlows, claim, denied != 0);
    }
    0
}

/// What this packet, a later fragment, follows.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ravelin_follow() -> u32 {
    claim().map_or(Followed::Unknown, |claim| flow::follow(&MapFlows, claim)) as u32
}

/// What tables say again of the flow that this packet claims, and that they let in: the inbound ones those of the other host. First the
/// classes of the flow's first packet, for which 0 is done; then what these lead to.
macro_rules! again {
    ($classes:ident, $again:ident, $tables:ty, $by_remote:literal, $plane:expr) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $classes() -> u32 {
            let (Some(claim), Some(tables), Some(to)) =
                (claim(), <$tables>::open(), FLOW_CLASSES.get_ptr_mut(0))
            else {
                return 1;
            };
            let Some(classes) = flow::classes_again::<{ $plane as u8 }>(&tables, claim, $by_remote) else {
                return 1;
            };
            // SAFETY: this CPU's own element.
            unsafe { to.write(classes) };
            0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $again() -> u64 {
            let (Some(classes), Some(tables)) = (FLOW_CLASSES.get(0), <$tables>::open()) else {
                return Again::FAULT.0;
            };
            flow::again::<{ $plane as u8 }>(&tables, *classes).0
        }
    };
}
again!(ravelin_classes4, ravelin_again4, Inbound, true, Plane::V4);
again!(ravelin_classes6, ravelin_again6, Inbound, true, Plane::V6);
again!(
    ravelin_outbound_classes4,
    ravelin_outbound_again4,
    Outbound,
    false,
    Plane::V4
);
again!(
    ravelin_outbound_classes6,
    ravelin_outbound_again6,
    Outbound,
    false,
    Plane::V6
);

/// The flow tables.
struct MapFlows;

impl Flows for MapFlows {
    #[inline(always)]
    fn find(&self, key: &FlowKey) -> Option<impl FlowCell> {
        let words = FLOWS_SETTLED
            .get_ptr_mut(key)
            .or_else(|| FLOWS_OPENING.get_ptr_mut(key))?;
        Some(Words(words.cast()))
    }

    #[inline(always)]
    fn open(&self, key: &FlowKey, record: &FlowRecord) {
        // What stood there under this key is another flow, and over.
        let _not_there = FLOWS_SETTLED.remove(key);
        count(match FLOWS_OPENING.insert(key, record, 0) {
            Ok(()) => FlowTables::Opened,
            Err(_) => FlowTables::NoRoom,
        });
    }

    #[inline(always)]
    fn settle(&self, key: &FlowKey, record: &FlowRecord) {
        if FLOWS_SETTLED.insert(key, record, 0).is_err() {
            count(FlowTables::NotSettled);
            return;
        }
        count(FlowTables::Settled);
        let _not_there = FLOWS_OPENING.remove(key);
    }

    #[inline(always)]
    fn know(&self, source: &SourceKey, tick: u64) {
        limits::know(source, tick);
    }

    #[inline(always)]
    fn remove(&self, key: &FlowKey) {
        let _not_there = FLOWS_SETTLED.remove(key);
        let _not_there = FLOWS_OPENING.remove(key);
    }

    #[inline(always)]
    fn datagram(&self, key: &FlowKey) -> Option<impl FlowCell> {
        Some(Words(FRAGMENTS.get_ptr_mut(key)?.cast()))
    }

    #[inline(always)]
    fn begin(&self, key: &FlowKey, record: &FlowRecord) {
        match FRAGMENTS.insert(key, record, 0) {
            Ok(()) => count(FlowTables::Datagram),
            // What follows is an orphan.
            Err(_) => count(FlowTables::NoRoom),
        }
    }
}

/// A record in one of the maps.
struct Words(*mut u64);

impl FlowCell for Words {
    #[inline(always)]
    fn load(&self) -> FlowRecord {
        let mut record = [0; FLOW_WORDS];
        let mut index = 0;
        while index < FLOW_WORDS {
            // SAFETY: a value of either map has so many words, and stays allocated until the program has ended.
            record[index] = unsafe { self.0.add(index).read_volatile() };
            index += 1;
        }
        record
    }

    #[inline(always)]
    fn store(&self, index: usize, word: u64) {
        // SAFETY: as above; the words that are stored are named by constants.
        unsafe { self.0.add(index).write_volatile(word) }
    }
}

/// Counts what became of a flow.
#[inline(always)]
pub fn count(event: FlowTables) {
    if let Some(counter) = FLOW_COUNTERS.get_ptr_mut(event as u32) {
        // SAFETY: this CPU's own element.
        unsafe { *counter += 1 }
    }
}
