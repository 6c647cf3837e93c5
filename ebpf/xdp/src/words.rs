//! Words in the value of a map, which programs on other processors and the daemon read and write at the same time.

use core::arch::asm;

use ravelin_datapath::hash_table::Line;

/// The words from one of them on.
#[derive(Clone, Copy)]
pub struct Words(*mut u64);

impl Words {
    /// The words of a map's value, from its beginning.
    #[inline(always)]
    pub fn of<T>(value: *mut T) -> Self {
        Self(value.cast())
    }
}

impl Line for Words {
    #[inline(always)]
    fn load(&self, index: usize) -> u64 {
        // SAFETY: the verifier proves that the word is inside the value, and the value stays allocated until the program has ended.
        unsafe { self.0.add(index).read_volatile() }
    }

    #[inline(always)]
    fn store(&self, index: usize, word: u64) {
        // SAFETY: as above.
        unsafe { self.0.add(index).write_volatile(word) }
    }

    /// Written out: to the compiler this target has one processor, and its own atomics would be plain loads and stores.
    #[inline(always)]
    fn swap(&self, index: usize, old: u64, new: u64) -> bool {
        let seen: u64;
        // SAFETY: as above; the value of a map is aligned to eight bytes.
        unsafe {
            asm!(
                "r0 = cmpxchg_64({at} + 0, r0, {new})",
                at = in(reg) self.0.add(index), new = in(reg) new, inout("r0") old => seen, options(nostack)
            );
        }
        seen == old
    }

    #[inline(always)]
    fn from(&self, index: usize) -> Self {
        // SAFETY: as above.
        Self(unsafe { self.0.add(index) })
    }
}
