//! What is counted of each upstream.
//!
//! registry → **upstream** → transport.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::families;
use super::labels::{Connect, LabelValue as _};
use super::register::{PerValue, counters, forget, gauges};

/// The families with a series for each upstream.
pub(super) struct UpstreamFamilies {
    connects: IntCounterVec,
    open: IntGaugeVec,
}

/// The counters of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    connects: PerValue<Connect>,
    /// Connections held now.
    pub open: IntGauge,
}

impl UpstreamFamilies {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            connects: counters(registry, families::UPSTREAM_CONNECTS)?,
            open: gauges(registry, families::UPSTREAM_OPEN)?,
        })
    }

    /// The counters of the upstream `name`.
    pub(super) fn of(&self, name: &str) -> UpstreamMetrics {
        UpstreamMetrics {
            connects: PerValue::new(|connect: Connect| {
                self.connects.with_label_values(&[name, connect.word()])
            }),
            open: self.open.with_label_values(&[name]),
        }
    }

    /// Ends the series of an upstream that is configured no more.
    pub(super) fn forget(&self, name: &str) {
        forget(&self.connects, name, Connect::ALL);
        drop(self.open.remove_label_values(&[name]));
    }
}

impl UpstreamMetrics {
    /// Counts an attempt to connect.
    pub fn connect(&self, connect: Connect) {
        self.connects.inc(connect);
    }
}
