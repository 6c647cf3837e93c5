//! A thread with a runtime of its own for each core: a connection lives and ends where it was accepted.
//!
//! edge → **workers** → accept. Nothing moves between threads and nothing is shared but counters and what is served: no task is stolen,
//! no wake-up crosses cores, and a core's buffers stay in its caches. The kernel spreads new connections over the listening
//! sockets, one for each worker (`SO_REUSEPORT`).

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// The running workers; they end, with what they still serve, when this is dropped.
pub(super) struct Workers {
    handles: Vec<Handle>,
    /// Closed by its drop.
    _alive: watch::Sender<()>,
}

impl Workers {
    /// As many workers as there are cores for this process.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no descriptors left.
    pub(super) fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let alive = watch::Sender::new(());
        let handles = (0..count).map(|index| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let mut until = alive.subscribe();
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    // Nothing is ever sent: it ends with its sender.
                    let _gone = runtime.block_on(until.changed());
                })?;
            Ok(handle)
        });
        Ok(Self {
            handles: handles.collect::<io::Result<_>>()?,
            _alive: alive,
        })
    }

    /// Where tasks are spawned, one for each worker.
    pub(super) fn handles(&self) -> &[Handle] {
        &self.handles
    }
}
