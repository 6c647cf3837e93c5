//! What is counted of each upstream.
//!
//! registry → **upstream** → transport.

use std::net::SocketAddr;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::families;
use super::labels::{Connect, LabelValue as _};
use super::register::{PerValue, counters, forget, gauges};

/// The families with a series for each upstream.
pub(super) struct UpstreamFamilies {
    connects: IntCounterVec,
    open: IntGaugeVec,
    retries: IntCounterVec,
    checks: IntCounterVec,
    ejections: IntCounterVec,
    servers: Servers,
}

/// The families with a series for each server. Written anew at each scrape, from what is served then.
#[derive(Clone, Debug)]
struct Servers {
    up: IntGaugeVec,
    ejected: IntGaugeVec,
}

/// The counters of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    name: String,
    connects: PerValue<Connect>,
    checks: PerValue<Connect>,
    servers: Servers,
    /// Attempts after the first.
    pub retries: IntCounter,
    /// Servers that were left out.
    pub ejections: IntCounter,
    /// Connections held now.
    pub open: IntGauge,
}

impl UpstreamFamilies {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            connects: counters(registry, families::UPSTREAM_CONNECTS)?,
            open: gauges(registry, families::UPSTREAM_OPEN)?,
            retries: counters(registry, families::UPSTREAM_RETRIES)?,
            checks: counters(registry, families::UPSTREAM_CHECKS)?,
            ejections: counters(registry, families::UPSTREAM_EJECTIONS)?,
            servers: Servers {
                up: gauges(registry, families::UPSTREAM_SERVER_UP)?,
                ejected: gauges(registry, families::UPSTREAM_SERVER_EJECTED)?,
            },
        })
    }

    /// The counters of the upstream `name`.
    pub(super) fn of(&self, name: &str) -> UpstreamMetrics {
        let by_result = |family: &IntCounterVec| {
            PerValue::new(|result: Connect| family.with_label_values(&[name, result.word()]))
        };
        UpstreamMetrics {
            name: name.to_owned(),
            connects: by_result(&self.connects),
            checks: by_result(&self.checks),
            servers: self.servers.clone(),
            retries: self.retries.with_label_values(&[name]),
            ejections: self.ejections.with_label_values(&[name]),
            open: self.open.with_label_values(&[name]),
        }
    }

    /// Ends the series of an upstream that is configured no more.
    pub(super) fn forget(&self, name: &str) {
        forget(&self.connects, name, Connect::ALL);
        forget(&self.checks, name, Connect::ALL);
        drop(self.open.remove_label_values(&[name]));
        for counter in [&self.retries, &self.ejections] {
            drop(counter.remove_label_values(&[name]));
        }
    }

    /// Ends the series of all servers.
    pub(super) fn forget_servers(&self) {
        self.servers.up.reset();
        self.servers.ejected.reset();
    }
}

impl UpstreamMetrics {
    /// Counts an attempt to connect.
    pub fn connect(&self, connect: Connect) {
        self.connects.inc(connect);
    }

    /// Counts a health check.
    pub fn check(&self, result: Connect) {
        self.checks.inc(result);
    }

    /// Shows the state of a server; `up` is what the checks say, if there are any.
    pub fn server(&self, address: SocketAddr, up: Option<bool>, ejected: bool) {
        let address = address.to_string();
        let labels = [self.name.as_str(), &address];
        if let Some(up) = up {
            self.servers.up.with_label_values(&labels).set(i64::from(up));
        }
        self.servers
            .ejected
            .with_label_values(&labels)
            .set(i64::from(ejected));
    }
}
