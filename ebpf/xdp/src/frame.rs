//! `Frame` over the bytes between `data` and `data_end` of an XDP context, and how such bytes are loaded.

use core::cell::Cell;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::bpf_xdp_get_buff_len;
use aya_ebpf::programs::XdpContext;
use ravelin_datapath::Frame;
use ravelin_datapath::chain::{self, Chain, Link};
use ravelin_datapath::frame::MAX_OFFSET;

/// The frame of an XDP context.
pub struct XdpFrame<'a> {
    context: &'a XdpContext,
    /// Where the headers say that the packet ends. A number, not the answer whether the linear part holds it: the verifier
    /// would walk the rest of the program once for each answer.
    end: Cell<usize>,
}

impl<'a> XdpFrame<'a> {
    /// The frame of `context`.
    #[inline(always)]
    pub fn new(context: &'a XdpContext) -> Self {
        Self {
            context,
            end: Cell::new(usize::MAX),
        }
    }

    #[inline(always)]
    fn linear(&self) -> usize {
        self.context.data_end() - self.context.data()
    }

    /// The bytes of all buffers: a jumbo frame's payload can lie behind the linear part. A call, and where the kernel must
    /// guard its returns one costs as much as half of the parser: asked only when the linear part is not enough.
    #[inline(always)]
    fn total(&self) -> usize {
        // SAFETY: the helper reads the context it is given, and ours is the program's own.
        (unsafe { bpf_xdp_get_buff_len(self.context.ctx) }) as usize
    }
}

impl Frame for XdpFrame<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > MAX_OFFSET {
            return None;
        }
        let start = self.context.data() + offset;
        if start + N > self.context.data_end() {
            return None;
        }
        // SAFETY: `start..start + N` was just compared with the packet's end, as the verifier checks.
        Some(unsafe { bytes(start) })
    }

    #[inline(always)]
    fn holds(&self, end: usize) -> bool {
        self.end.set(end);
        self.linear() >= end || self.total() >= end
    }

    #[inline(always)]
    fn length(&self) -> usize {
        if self.linear() >= self.end.get() {
            self.linear()
        } else {
            self.total()
        }
    }

    #[inline(always)]
    fn forget(&self, number: u64) -> u64 {
        forget(number, self.linear() as u64)
    }

    #[inline(always)]
    fn chain(&self, from: Link) -> Chain {
        Chain::unpack(ravelin_chain(
            self.context.ctx,
            from.protocol as u32,
            from.at as u32,
            from.end as u32,
        ))
    }
}

/// The walk along a chain of extension headers, by itself: a global function to the kernel, verified once for all arguments.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ravelin_chain(context: *mut xdp_md, protocol: u32, at: u32, end: u32) -> u64 {
    let context = XdpContext::new(context);
    let from = Link {
        protocol: protocol as u8,
        at: at as usize,
        end: end as usize,
    };
    chain::walk(&XdpFrame::new(&context), from).pack()
}

/// The index of the interface that the frame came in on.
#[inline(always)]
pub fn interface(context: &XdpContext) -> u32 {
    // SAFETY: the context of an XDP program is a valid `xdp_md` as long as the program runs.
    unsafe { (*context.ctx).ingress_ifindex }
}

/// The `N` bytes at `start`.
///
/// # Safety
/// They are there, which the verifier checks, and nobody writes them while the program runs.
#[inline(always)]
pub unsafe fn bytes<const N: usize>(start: usize) -> [u8; N] {
    let mut bytes = [0; N];
    let mut at = 0;
    // SAFETY: the caller's; no load and no store is behind the `N`th byte.
    unsafe {
        while at + 8 <= N {
            put(&mut bytes, at, load::u64(start + at));
            at += 8;
        }
        if N % 8 >= 4 {
            put(&mut bytes, at, load::u32(start + at));
            at += 4;
        }
        if N % 4 >= 2 {
            put(&mut bytes, at, load::u16(start + at));
        }
    }
    bytes
}

/// The number, of which the verifier knows as little as of `any`.
#[inline(always)]
pub fn forget(number: u64, any: u64) -> u64 {
    let mut forgotten = number;
    // SAFETY: two sums in one register. Written out, because the compiler would see that they undo each other.
    unsafe {
        core::arch::asm!(
            "{number} += {any}", "{number} -= {any}",
            number = inout(reg) forgotten, any = in(reg) any, options(pure, nomem, nostack)
        );
    }
    forgotten
}

/// Loads from any address in one instruction. Headers stand at odd places, and the compiler, which takes the target to fault
/// on them, would read byte by byte; the kernel knows better and lets them through on machines that can.
mod load {
    use core::arch::asm;

    macro_rules! load {
        ($name:ident, $type:ty, $instruction:literal) => {
            /// # Safety
            /// The bytes at `address` are there, and nobody writes them.
            #[inline(always)]
            pub(super) unsafe fn $name(address: usize) -> $type {
                let value: u64;
                // SAFETY: one load, of bytes that the caller answers for.
                unsafe {
                    asm!($instruction, out(reg) value, in(reg) address, options(pure, readonly, nostack, preserves_flags));
                }
                value as $type
            }
        };
    }

    load!(u16, u16, "{} = *(u16 *)({} + 0)");
    load!(u32, u32, "{} = *(u32 *)({} + 0)");
    load!(u64, u64, "{} = *(u64 *)({} + 0)");
}

/// # Safety
/// A `T` fits into `bytes` at `at`.
#[inline(always)]
unsafe fn put<T, const N: usize>(bytes: &mut [u8; N], at: usize, value: T) {
    // SAFETY: the caller's.
    unsafe { bytes.as_mut_ptr().add(at).cast::<T>().write_unaligned(value) }
}
