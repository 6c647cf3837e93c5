//! The edge's metrics: registered once, handed out as plain counters so that a connection looks up no label.
//!
//! transport → **registry** → export. Series of a listener or an upstream exist from the moment it is configured, all at zero,
//! and go away with it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Encoder as _, Gauge, GaugeVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

use super::families;
use super::listener::{ListenerFamilies, ListenerMetrics};
use super::register::{gauges, opts, registered};
use super::upstream::{UpstreamFamilies, UpstreamMetrics};

/// Every metric of the edge, in a registry of its own.
pub struct EdgeMetrics {
    registry: Registry,
    listeners: ListenerFamilies,
    upstreams: UpstreamFamilies,
    reload_successful: IntGauge,
    reload_timestamp: Gauge,
}

impl EdgeMetrics {
    /// A registry with every metric of the edge, the process and the build in it.
    ///
    /// # Errors
    ///
    /// When two metrics have one name, which would be a bug in `families`.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = registered(
            &registry,
            IntGaugeVec::new(opts(families::BUILD_INFO), families::BUILD_INFO.labels)?,
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process))?;
        Ok(Self {
            listeners: ListenerFamilies::register(&registry)?,
            upstreams: UpstreamFamilies::register(&registry)?,
            reload_successful: gauges(&registry, families::RELOAD_SUCCESSFUL)?
                .with_label_values(&[families::HALF]),
            reload_timestamp: registered(
                &registry,
                GaugeVec::new(
                    opts(families::RELOAD_TIMESTAMP),
                    families::RELOAD_TIMESTAMP.labels,
                )?,
            )?
            .with_label_values(&[families::HALF]),
            registry,
        })
    }

    /// The counters of the listener `name`. The same name gets the same counters.
    #[must_use]
    pub fn listener(&self, name: &str) -> ListenerMetrics {
        self.listeners.of(name)
    }

    /// The counters of the upstream `name`.
    #[must_use]
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        self.upstreams.of(name)
    }

    /// Notes when the certificate in `file` expires, in seconds since the epoch.
    pub fn certificate_expires(&self, listener: &str, file: &str, not_after: i64) {
        self.listeners.certificate_expires(listener, file, not_after);
    }

    /// Ends the series of a certificate that is configured no more.
    pub fn forget_certificate(&self, listener: &str, file: &str) {
        self.listeners.forget_certificate(listener, file);
    }

    /// Ends the series of a listener that is configured no more.
    pub fn forget_listener(&self, name: &str) {
        self.listeners.forget(name);
    }

    /// Ends the series of an upstream that is configured no more.
    pub fn forget_upstream(&self, name: &str) {
        self.upstreams.forget(name);
    }

    /// Notes how the last load of the policy went.
    pub fn reloaded(&self, successful: bool) {
        self.reload_successful.set(i64::from(successful));
        if successful {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or(Duration::ZERO);
            self.reload_timestamp.set(now.as_secs_f64());
        }
    }

    /// Everything, in Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            // Only an empty family can fail, and a scrape must not take the endpoint down.
            Err(error) => format!("# {error}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::labels::{Closure, Connect, Refusal};

    #[test]
    fn a_listener_has_all_its_series_from_the_start_and_none_after_it_is_forgotten() {
        let metrics = EdgeMetrics::new().unwrap();
        let before = metrics.text();
        let listener = metrics.listener("api");
        listener.refused(Refusal::Rate);
        listener.ended(Closure::Refused);
        let text = metrics.text();
        assert!(
            text.contains("ravelin_edge_refused_total{listener=\"api\",reason=\"rate\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("ravelin_edge_connections_total{listener=\"api\",result=\"refused\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("ravelin_edge_connections_total{listener=\"api\",result=\"truncated\"} 0"),
            "{text}"
        );
        assert!(!before.contains("api"));
        metrics.forget_listener("api");
        assert!(!metrics.text().contains("\"api\""), "{}", metrics.text());
    }

    #[test]
    fn an_upstream_goes_away_with_its_series() {
        let metrics = EdgeMetrics::new().unwrap();
        metrics.upstream("app").connect(Connect::Refused);
        assert!(
            metrics
                .text()
                .contains("ravelin_edge_upstream_connects_total{result=\"refused\",upstream=\"app\"} 1")
        );
        metrics.forget_upstream("app");
        assert!(!metrics.text().contains("\"app\""));
    }
}
