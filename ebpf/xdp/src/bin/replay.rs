//! What benchmarks run around the program under test: another packet of a trace each time, and the programs that it is
//! compared with. Nothing of it is in the daemon.
//!
//! `BPF_PROG_TEST_RUN` repeats one frame; `replay` writes the next headers of a trace over it and calls the program under
//! test as a tail. `empty` only drops: what a run costs above it is the program's own.

#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, PerCpuArray, ProgramArray};
use aya_ebpf::programs::XdpContext;

/// Bytes of a frame of the trace: Ethernet, IPv6 and TCP headers, rounded up.
const REPLAY_BYTES: usize = 80;

/// The trace.
#[map]
static TRACE: Array<[u64; REPLAY_BYTES / 8]> = Array::with_max_entries(1, 0);

/// How many frames it has.
#[unsafe(no_mangle)]
static FRAMES: u32 = 1;

/// The frame of this run.
#[map]
static CURSOR: Array<u32> = Array::with_max_entries(1, 0);

/// The program under test.
#[map]
static SUBJECT: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The kernel's own longest-prefix match: IPv4.
#[map]
static PREFIXES4: LpmTrie<[u8; 4], u32> = LpmTrie::with_max_entries(1, 0);

/// The same for IPv6.
#[map]
static PREFIXES6: LpmTrie<[u8; 16], u32> = LpmTrie::with_max_entries(1, 0);

/// Writes the next frame's headers and goes on with the program under test.
#[xdp(frags)]
pub fn replay(context: XdpContext) -> u32 {
    let Some(cursor) = CURSOR.get_ptr_mut(0) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: the map's only element; benchmarks run on one CPU at a time.
    let at = unsafe { *cursor };
    // SAFETY: as above; a static that the loader sets.
    unsafe {
        let frames = core::ptr::read_volatile(&FRAMES);
        *cursor = if at + 1 < frames { at + 1 } else { 0 };
    }
    let Some(frame) = TRACE.get_ptr(at) else {
        return xdp_action::XDP_ABORTED;
    };
    let start = context.data();
    if start + REPLAY_BYTES > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    let from = frame.cast::<u8>();
    let to = start as *mut u8;
    // SAFETY: both sides hold `REPLAY_BYTES`, as was just checked for the packet and as the map's value does.
    //
    // The stores are cut where the fields of the headers begin: a load that two stores in flight feed would wait for both
    // to leave the store buffer, and no packet that a network card wrote makes a program wait for that.
    unsafe {
        copy::<u64>(from, to, 0);
        copy::<u32>(from, to, 8);
        copy::<u16>(from, to, 12);
        copy::<u64>(from, to, 14);
        if *from.add(14) >> 4 == 6 {
            copy::<u64>(from, to, 22);
            copy::<u64>(from, to, 30);
            copy::<u64>(from, to, 38);
            copy::<u64>(from, to, 46);
            copy::<u64>(from, to, 54);
            copy::<u64>(from, to, 62);
            copy::<u64>(from, to, 70);
        } else {
            copy::<u32>(from, to, 22);
            copy::<u64>(from, to, 26);
            copy::<u64>(from, to, 34);
            copy::<u64>(from, to, 42);
            copy::<u64>(from, to, 50);
            copy::<u64>(from, to, 58);
            copy::<u64>(from, to, 66);
        }
        SUBJECT.tail_call(&context, 0);
    }
    xdp_action::XDP_ABORTED
}

/// Nothing but a verdict.
#[xdp(frags)]
pub fn empty(_context: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// Nothing but a verdict, the other one: with live frames, the packet goes to the network stack.
#[xdp(frags)]
pub fn pass(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// When the next packet may leave, and nanoseconds between two; none: at once.
#[map]
static PACE: Array<[u64; 2]> = Array::with_max_entries(1, 0);

/// With live frames, the packet leaves by the interface that it is said to have come in on, when it is its turn.
#[xdp(frags)]
pub fn transmit(_context: XdpContext) -> u32 {
    let Some(pace) = PACE.get_ptr_mut(0) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: the map's only element; benchmarks send on one CPU.
    let [next, between] = unsafe { *pace };
    if between == 0 {
        return xdp_action::XDP_TX;
    }
    let mut now = time();
    // As long as the verifier lets a program wait: some tens of microseconds. A slower pace is not kept, and nobody asks for one.
    let mut tries = 0;
    while now < next && tries < MOST_WAITS {
        now = time();
        tries += 1;
    }
    // What was late is caught up with, as far as a ring of packets goes: bursts would push others out.
    let earliest = now.saturating_sub(between * 64);
    let due = if next > earliest { next } else { earliest };
    // SAFETY: as above.
    unsafe { (*pace)[0] = due + between };
    xdp_action::XDP_TX
}

const MOST_WAITS: u32 = 2000;

#[inline(always)]
fn time() -> u64 {
    // SAFETY: the helper takes nothing and gives a number.
    unsafe { bpf_ktime_get_ns() }
}

/// Counts as a packet is counted that a rule decided: once by reason and once by rule, the rule being another each time.
#[xdp(frags)]
pub fn counted(context: XdpContext) -> u32 {
    let start = context.data() + 26;
    if start + 8 > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: compared with the packet's end.
    let addresses = unsafe { (start as *const u64).read_unaligned() };
    let length = (context.data_end() - context.data()) as u64;
    add(&REASONS, 9, length);
    // A rule for each pair of addresses, more or less.
    let rule = addresses.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    add(&RULES, rule as u32, length);
    xdp_action::XDP_DROP
}

/// Two counters, as the packet path has them.
#[map]
static REASONS: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(128, 0);

/// The same for rules.
#[map]
static RULES: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(1024, 0);

#[inline(always)]
fn add(counters: &PerCpuArray<[u64; 2]>, index: u32, bytes: u64) {
    if let Some(counter) = counters.get_ptr_mut(index) {
        // SAFETY: the pointer is this CPU's own element.
        unsafe {
            (*counter)[0] += 1;
            (*counter)[1] += bytes;
        }
    }
}

/// Reads the headers of IPv4 and TCP and does nothing with them but what keeps the reads: the least that any filter does.
#[xdp(frags)]
pub fn headers(context: XdpContext) -> u32 {
    let start = context.data();
    if start + 54 > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: compared with the packet's end.
    unsafe {
        let half = |at: usize| u64::from(((start + at) as *const u16).read_unaligned());
        let word = |at: usize| u64::from(((start + at) as *const u32).read_unaligned());
        let sum =
            half(12) ^ half(14) ^ half(16) ^ half(20) ^ half(22) ^ word(26) ^ word(30) ^ word(34) ^ half(46);
        if sum == 0x1234_5678_9abc {
            return xdp_action::XDP_PASS;
        }
    }
    xdp_action::XDP_DROP
}

/// Looks up the source in the kernel's trie.
#[xdp(frags)]
pub fn trie4(context: XdpContext) -> u32 {
    let start = context.data() + 26;
    if start + 4 > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: compared with the packet's end.
    let source = unsafe { *(start as *const [u8; 4]) };
    verdict(PREFIXES4.get(&Key::new(32, source)).is_some())
}

/// The same for IPv6.
#[xdp(frags)]
pub fn trie6(context: XdpContext) -> u32 {
    let start = context.data() + 22;
    if start + 16 > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: compared with the packet's end.
    let source = unsafe { *(start as *const [u8; 16]) };
    verdict(PREFIXES6.get(&Key::new(128, source)).is_some())
}

#[inline(always)]
fn verdict(found: bool) -> u32 {
    if found {
        xdp_action::XDP_DROP
    } else {
        xdp_action::XDP_PASS
    }
}

/// # Safety
/// `at` and the bytes of a `T` behind it lie in both.
#[inline(always)]
unsafe fn copy<T>(from: *const u8, to: *mut u8, at: usize) {
    // SAFETY: the caller's.
    unsafe {
        to.add(at)
            .cast::<T>()
            .write_unaligned(from.add(at).cast::<T>().read_unaligned());
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lets only GPL-compatible programs call some helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
