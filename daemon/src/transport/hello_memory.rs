//! Memory for what clients send before there is a session: long hellos share what is set aside for them.
//!
//! accept → **hello memory** → ahead, handshake. A hello may be sixteen times as long as real ones are. One such client is served; as many
//! as a listener has room for would take more than a gigabyte. Each may hold a usual hello, and what is longer comes out of one budget.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What long hellos of one listener may take together. Of one listener: what is done to it takes nothing from others.
#[derive(Debug, Default)]
pub(super) struct HelloMemory {
    taken: AtomicUsize,
}

impl HelloMemory {
    /// The part of a new connection, which has taken nothing yet.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share {
            memory: Arc::clone(self),
            taken: 0,
        }
    }
}

/// The part of one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<HelloMemory>,
    taken: usize,
}

impl Share {
    /// Makes sure that the connection may hold so many bytes; it keeps what it has taken before.
    ///
    /// # Errors
    ///
    /// [`NoRoom`]: others have taken what there is. Nothing is taken then.
    pub(super) fn cover(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let more = bytes.saturating_sub(FREE_BYTES).saturating_sub(self.taken);
        if more == 0 {
            return Ok(());
        }
        let fits = |taken: usize| taken.checked_add(more).filter(|sum| *sum <= BUDGET_BYTES);
        // The number orders nothing but itself.
        let taken = self
            .memory
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        if taken.is_err() {
            return Err(NoRoom);
        }
        self.taken += more;
        Ok(())
    }

    /// Gives back what was taken.
    pub(super) fn release(&mut self) {
        self.memory.taken.fetch_sub(self.taken, Ordering::Relaxed);
        self.taken = 0;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.release();
    }
}

/// Long hellos of other clients take all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

impl NoRoom {
    /// Whether it is why a read failed.
    pub(super) fn is_behind(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|source| source.is::<Self>())
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the memory for long ClientHellos is used up")
    }
}

impl std::error::Error for NoRoom {}

impl From<NoRoom> for io::Error {
    fn from(no_room: NoRoom) -> Self {
        Self::new(io::ErrorKind::QuotaExceeded, no_room)
    }
}

/// What every connection may hold: twice the longest hello that is in use, with keys against quantum computers, a ticket and an
/// encrypted hello inside. Clients that go no further never need the budget.
pub(super) const FREE_BYTES: usize = 8 << 10;

/// Two hundred of the longest hellos at once. Without the bound `concurrent.total` of them could take 1.6 GiB of a listener with 20,000.
const BUDGET_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_hellos_take_nothing_and_long_ones_what_is_over() {
        let memory = Arc::new(HelloMemory::default());
        let mut share = memory.share();
        share.cover(FREE_BYTES).unwrap();
        assert_eq!(memory.taken.load(Ordering::Relaxed), 0);
        share.cover(FREE_BYTES + 100).unwrap();
        share.cover(FREE_BYTES + 50).unwrap();
        share.cover(FREE_BYTES + 150).unwrap();
        assert_eq!(memory.taken.load(Ordering::Relaxed), 150);
    }

    #[test]
    fn who_needs_more_than_there_is_takes_nothing_and_finds_room_when_others_end() {
        let memory = Arc::new(HelloMemory::default());
        let (mut first, mut second) = (memory.share(), memory.share());
        first.cover(FREE_BYTES + BUDGET_BYTES - 1).unwrap();
        second.cover(FREE_BYTES + 1).unwrap();
        assert_eq!(second.cover(FREE_BYTES + 2), Err(NoRoom));
        second.cover(FREE_BYTES + 1).unwrap();
        second.cover(FREE_BYTES).unwrap();
        drop(first);
        second.cover(FREE_BYTES + BUDGET_BYTES).unwrap();
        assert_eq!(second.cover(usize::MAX), Err(NoRoom));
        second.release();
        drop(second);
        assert_eq!(memory.taken.load(Ordering::Relaxed), 0);
    }
}
