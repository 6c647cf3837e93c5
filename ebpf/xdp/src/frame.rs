//! `Frame` over the bytes between `data` and `data_end`: the only pointer arithmetic of the project.

use aya_ebpf::helpers::generated::bpf_xdp_get_buff_len;
use aya_ebpf::programs::XdpContext;
use ravelin_datapath::Frame;
use ravelin_datapath::frame::MAX_OFFSET;

/// The frame of an XDP context.
pub struct XdpFrame<'a> {
    context: &'a XdpContext,
}

impl<'a> XdpFrame<'a> {
    /// The frame of `context`.
    #[inline(always)]
    pub fn new(context: &'a XdpContext) -> Self {
        Self { context }
    }

    /// The bytes of all buffers: a jumbo frame's payload can lie behind the linear part.
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
        // SAFETY: `start..start + N` was just compared with the packet's end, as the verifier checks; a byte array has
        // no alignment and no invalid values, and nobody writes the packet while the program runs.
        Some(unsafe { *(start as *const [u8; N]) })
    }

    #[inline(always)]
    fn holds(&self, end: usize) -> bool {
        self.context.data_end() - self.context.data() >= end || self.total() >= end
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.total()
    }
}

/// The index of the interface that the frame came in on.
#[inline(always)]
pub fn interface(context: &XdpContext) -> u32 {
    // SAFETY: the context of an XDP program is a valid `xdp_md` as long as the program runs.
    unsafe { (*context.ctx).ingress_ifindex }
}
