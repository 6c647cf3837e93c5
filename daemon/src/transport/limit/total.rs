//! How many connections a listener holds, and the cap on it.
//!
//! The cap is always there: without it a client could use up descriptors and memory by opening connections and doing nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use prometheus::IntGauge;

/// The connections of one listener.
#[derive(Debug)]
pub struct Total {
    open: AtomicU32,
    gauge: IntGauge,
}

/// One of them; given back when dropped.
#[derive(Debug)]
pub struct TotalSlot(Arc<Total>);

impl Total {
    /// No connections yet; `gauge` shows the number.
    #[must_use]
    pub fn new(gauge: IntGauge) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicU32::new(0),
            gauge,
        })
    }

    /// One more, unless there are `cap` already.
    #[must_use]
    pub fn take(self: &Arc<Self>, cap: u32) -> Option<TotalSlot> {
        let one_more = |open: u32| (open < cap).then(|| open + 1);
        self.open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        self.gauge.inc();
        Some(TotalSlot(Arc::clone(self)))
    }

    /// How many there are.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for TotalSlot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.dec();
    }
}
