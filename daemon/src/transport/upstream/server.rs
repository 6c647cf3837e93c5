//! One server: what is known of it, whichever reload made the list it stands in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use prometheus::IntGauge;

use super::ejection::Ejections;
use super::health::Health;

/// A server of an upstream.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) health: Arc<Health>,
    pub(super) ejection: Arc<Ejections>,
    open: Arc<AtomicUsize>,
}

/// A connection that the server counts as open.
#[derive(Debug)]
pub(super) struct Slot {
    open: Arc<AtomicUsize>,
    gauge: IntGauge,
}

impl Server {
    /// The server at `address`, with what `known` is known of it.
    pub(super) fn new(address: SocketAddr, known: Option<&Self>, keep_health: bool) -> Self {
        let health = known.filter(|_| keep_health);
        Self {
            address,
            health: health.map_or_else(Arc::default, |known| Arc::clone(&known.health)),
            ejection: known.map_or_else(Arc::default, |known| Arc::clone(&known.ejection)),
            open: known.map_or_else(Arc::default, |known| Arc::clone(&known.open)),
        }
    }

    /// Neither down nor ejected.
    pub(super) fn is_eligible(&self, now: Instant) -> bool {
        self.health.is_up() && !self.ejection.holds(now)
    }

    /// Connections that are open, or being opened.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn take_slot(&self, gauge: &IntGauge) -> Slot {
        self.open.fetch_add(1, Ordering::Relaxed);
        gauge.inc();
        Slot {
            open: Arc::clone(&self.open),
            gauge: gauge.clone(),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}
