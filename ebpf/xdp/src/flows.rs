//! `Memory` and `Flows` over maps that all generations share.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{LruHashMap, PerCpuArray};
use aya_ebpf::programs::XdpContext;
use ravelin_datapath::classify::Classes;
use ravelin_datapath::flow::{self, Again, Claim, FlowTable, Followed, Passage, TableCell};
use ravelin_datapath::hash_table::Lines;
use ravelin_datapath::limit::{Draw, Drawn};
use ravelin_datapath::packet::{Address, Quotation};
use ravelin_datapath::wire::{DATAGRAMS, FlowKey, FlowRecord, FlowTables, Plane, SourceKey};
use ravelin_datapath::{FlowCell, Flows, Frame, Memory};

use crate::cookies;
use crate::frame::XdpFrame;
use crate::limits;
use crate::lines::{FlowLines, MapLines};
use crate::maps::{Inbound, Outbound};
use crate::words::Words;

/// Datagrams in fragments whose first one has come: the oldest gives way, so a flood of first fragments takes no more than this. Shared by
/// all generations, pinned.
#[map]
static FRAGMENTS: LruHashMap<FlowKey, FlowRecord> = LruHashMap::with_max_entries(DATAGRAMS, 0);

/// What became of flows: opened, settled, found no room. Shared by all generations, pinned.
#[map]
static FLOW_COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(FlowTables::COUNTERS, 0);

/// What this processor's packet claims: here and not on the stack, which is 512 bytes for all functions together. No other packet comes
/// between: programs run with bottom halves off.
#[map]
static FLOW_CLAIM: PerCpuArray<Claim> = PerCpuArray::with_max_entries(1, 0);

/// The classes of its flow's first packet, for the same reason.
#[map]
static FLOW_CLASSES: PerCpuArray<Classes> = PerCpuArray::with_max_entries(1, 0);

/// What the program of one direction remembers.
pub struct KernelMemory<const OUTBOUND: bool> {
    /// The packet, for what asks about its bytes; nothing of the outbound program does.
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
    fn quoted<const PLANE: u8>(&self, _: &impl Frame, quotation: Quotation, to: Address, tick: u64) -> bool {
        if OUTBOUND {
            // What the host sends is not asked.
            return false;
        }
        let quoted = if PLANE == Plane::V4 as u8 {
            ravelin_quoted4
        } else {
            ravelin_quoted6
        };
        quoted(self.context, quotation.0, to.high, to.low, tick) != 0
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

/// Whether the packet that this one quotes was sent in a flow that is there.
macro_rules! quoted {
    ($name:ident, $plane:expr) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(context: *mut xdp_md, quotation: u32, high: u64, low: u64, tick: u64) -> u32 {
            let (Some(tables), Some(claim)) = (Inbound::open(), FLOW_CLAIM.get_ptr_mut(0)) else {
                return 0;
            };
            let context = XdpContext::new(context);
            let frame = XdpFrame::new(&context);
            let to = Address { high, low };
            let quotation = Quotation(quotation);
            let Some(quoted) = flow::quoted::<{ $plane as u8 }>(&frame, quotation, to, tick) else {
                return 0;
            };
            // SAFETY: this CPU's own element, and the claim of the error itself is written behind this.
            let claim = unsafe {
                claim.write(quoted);
                &*claim
            };
            flow::is_live(&tables, &MapFlows, claim).into()
        }
    };
}
quoted!(ravelin_quoted4, Plane::V4);
quoted!(ravelin_quoted6, Plane::V6);

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

/// The table of flows, and the maps beside it.
struct MapFlows;

impl Flows for MapFlows {
    #[inline(always)]
    fn table(&self) -> FlowTable<impl Lines> {
        FlowTable::new(MapLines::<FlowLines>::open())
    }

    #[inline(always)]
    fn count(&self, event: FlowTables) {
        count(event);
    }

    #[inline(always)]
    fn know(&self, source: &SourceKey, tick: u64) {
        limits::know(source, tick);
    }

    #[inline(always)]
    fn datagram(&self, key: &FlowKey) -> Option<impl FlowCell> {
        Some(TableCell::new(Words::of(FRAGMENTS.get_ptr_mut(key)?)))
    }

    #[inline(always)]
    fn begin(&self, key: &FlowKey, record: &FlowRecord) {
        self.count(match FRAGMENTS.insert(key, record, 0) {
            Ok(()) => FlowTables::Datagram,
            // What follows is an orphan.
            Err(_) => FlowTables::NoRoom,
        });
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
