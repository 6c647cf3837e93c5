//! How bytes are read: the seam between the parser and whoever holds the frame.

use crate::parse::chain::{self, Chain, Link};

/// An Ethernet frame.
///
/// The verifier compares each access with the end of the packet itself, and a slice's length is only a number to it. So
/// every read has a fixed size and its own check, and implementations keep both together.
pub trait Frame {
    /// The `N` bytes at `offset`, or `None` when the frame ends before. `offset` is below [`MAX_OFFSET`].
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Whether the frame holds at least `end` bytes.
    fn holds(&self, end: usize) -> bool;

    /// The frame's length in bytes, for counters.
    fn length(&self) -> usize;

    /// The number, of which the verifier knows nothing any more. A seam: arms that end with different numbers of one use are walked on
    /// once for each, unless it takes them for any number.
    #[inline(always)]
    fn forget(&self, number: u64) -> u64 {
        number
    }

    /// [`chain::walk`] over this frame. A seam, for the reason given at [`crate::Tables::walk`].
    #[inline(always)]
    fn chain(&self, from: Link) -> Chain
    where
        Self: Sized,
    {
        chain::walk(self, from)
    }
}

/// No header starts at or after this offset: 14 + 2 VLAN tags × 4 + 40 + 8 extension headers × 2,048 is below it. The
/// verifier wants the bound written down before an offset is added to a packet pointer.
pub const MAX_OFFSET: usize = 0x7fff;

/// A frame in user space.
#[derive(Clone, Copy, Debug)]
pub struct SliceFrame<'a>(pub &'a [u8]);

impl Frame for SliceFrame<'_> {
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let bytes = self.0.get(offset..)?.first_chunk::<N>()?;
        (offset <= MAX_OFFSET).then_some(*bytes)
    }

    fn holds(&self, end: usize) -> bool {
        self.0.len() >= end
    }

    fn length(&self) -> usize {
        self.0.len()
    }
}
