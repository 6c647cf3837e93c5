//! `Frame` over the socket buffer of a TC context: what the host sends, on its way to the device.
//!
//! On an Ethernet device the buffer begins with the MAC header. A VLAN tag that the card will put in is beside the bytes, in the
//! buffer's metadata, and so not in the frame that is judged.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::TcContext;
use ravelin_datapath::Frame;
use ravelin_datapath::chain::{self, Chain, Link};
use ravelin_datapath::frame::MAX_OFFSET;

use crate::frame::{bytes, forget};

/// The frame of a TC context.
pub struct SkbFrame<'a> {
    context: &'a TcContext,
}

impl<'a> SkbFrame<'a> {
    /// The frame of `context`.
    #[inline(always)]
    pub fn new(context: &'a TcContext) -> Self {
        Self { context }
    }

    /// The `N` bytes at `offset`, wherever they lie. Copied by a call: to pull them into the linear part would give a buffer that TCP
    /// keeps for a repetition a new head, for each packet.
    #[inline(always)]
    fn scattered<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let room = SCATTERED.get_ptr_mut(0)?;
        const { assert!(N <= LONGEST) };
        // SAFETY: the context is the program's own, and this CPU's element has room for the longest header.
        let failed =
            unsafe { bpf_skb_load_bytes(self.context.skb.skb.cast(), offset as u32, room.cast(), N as u32) };
        if failed != 0 {
            return None;
        }
        // SAFETY: just written, `N` bytes of it.
        Some(unsafe { bytes(room as usize) })
    }
}

/// Bytes of the longest header that is read at once: the IPv6 header.
const LONGEST: usize = 40;

/// Where a header is copied to that lies behind the linear part. Not on the stack, which is 512 bytes for all functions together.
#[map]
static SCATTERED: PerCpuArray<[u8; LONGEST]> = PerCpuArray::with_max_entries(1, 0);

impl Frame for SkbFrame<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > MAX_OFFSET {
            return None;
        }
        let start = self.context.data() + offset;
        if start + N > self.context.data_end() {
            // Most frames end here; what goes on has its payload, rarely a header, behind the linear part.
            if !self.holds(offset + N) {
                return None;
            }
            return self.scattered(offset);
        }
        // SAFETY: `start..start + N` was just compared with the end of the linear part, as the verifier checks.
        Some(unsafe { bytes(start) })
    }

    #[inline(always)]
    fn holds(&self, end: usize) -> bool {
        self.length() >= end
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.context.len() as usize
    }

    #[inline(always)]
    fn forget(&self, number: u64) -> u64 {
        forget(number, self.length() as u64)
    }

    #[inline(always)]
    fn chain(&self, from: Link) -> Chain {
        Chain::unpack(ravelin_outbound_chain(
            self.context.skb.skb,
            from.protocol as u32,
            from.at as u32,
            from.end as u32,
        ))
    }
}

/// As `ravelin_chain`: the kernel takes a context only as what it is.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ravelin_outbound_chain(context: *mut __sk_buff, protocol: u32, at: u32, end: u32) -> u64 {
    let context = TcContext::new(context);
    let from = Link {
        protocol: protocol as u8,
        at: at as usize,
        end: end as usize,
    };
    chain::walk(&SkbFrame::new(&context), from).pack()
}

/// The index of the interface that the frame goes out on.
#[inline(always)]
pub fn interface(context: &TcContext) -> u32 {
    // SAFETY: the context of a TC program is a valid `__sk_buff` as long as the program runs.
    unsafe { (*context.skb.skb).ifindex }
}
