//! The edge's metrics: registered once, handed out as plain counters so that a connection looks up no label.
//!
//! transport → **registry** → export. Series of a listener or an upstream exist from the moment it is configured, all at zero,
//! and go away with it.

use std::marker::PhantomData;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::names::{
    self, AcceptFailure, BanResult, Closure, Connect, Direction, HandshakeFailure, LabelValue, Metric,
    Offence, Refusal, Version,
};

/// Every metric of the edge, in a registry of its own.
pub struct EdgeMetrics {
    registry: Registry,
    connections: IntCounterVec,
    admitted: IntCounterVec,
    open: IntGaugeVec,
    refused: IntCounterVec,
    handshake_seconds: HistogramVec,
    handshake_failures: IntCounterVec,
    tls_handshakes: IntCounterVec,
    certificate_not_after: IntGaugeVec,
    bytes: IntCounterVec,
    delay_seconds: HistogramVec,
    delay_queue: IntGaugeVec,
    limiter_sources: IntGaugeVec,
    limiter_capacity: IntGaugeVec,
    limiter_memory_bound: IntGaugeVec,
    limiter_shared: IntCounterVec,
    offences: IntCounterVec,
    offences_not_counted: IntCounterVec,
    offenders: IntGaugeVec,
    offenders_capacity: IntGaugeVec,
    bans_asked: IntCounterVec,
    bans: IntCounterVec,
    upstream_connects: IntCounterVec,
    upstream_open: IntGaugeVec,
    accept_failures: IntCounterVec,
    reload_successful: IntGauge,
    reload_timestamp: Gauge,
}

/// The counters of one listener.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    connections: PerValue<Closure>,
    refused: PerValue<Refusal>,
    handshake_failures: PerValue<HandshakeFailure>,
    accept_failures: PerValue<AcceptFailure>,
    offences: PerValue<Offence>,
    bans: PerValue<BanResult>,
    tls_full: PerValue<Version>,
    tls_resumed: PerValue<Version>,
    /// Connections that passed every limit.
    pub admitted: IntCounter,
    /// Connections held now.
    pub open: IntGauge,
    /// Time to a finished handshake.
    pub handshake_seconds: Histogram,
    /// Bytes from the client to the upstream.
    pub to_upstream: IntCounter,
    /// Bytes from the upstream to the client.
    pub to_client: IntCounter,
    /// How long delayed connections waited.
    pub delay_seconds: Histogram,
    /// Connections that wait now.
    pub delay_queue: IntGauge,
    /// Sources in the limiter.
    pub limiter_sources: IntGauge,
    /// Sources the limiter can hold.
    pub limiter_capacity: IntGauge,
    /// The limiter's memory bound.
    pub limiter_memory_bound: IntGauge,
    /// Connections judged by the shared bucket.
    pub limiter_shared: IntCounter,
    /// Offences there was no room to remember.
    pub offences_not_counted: IntCounter,
    /// Sources whose offences are remembered.
    pub offenders: IntGauge,
    /// Sources whose offences can be remembered.
    pub offenders_capacity: IntGauge,
    /// Bans asked for.
    pub bans_asked: IntCounter,
}

/// The counters of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    connects: PerValue<Connect>,
    /// Connections held now.
    pub open: IntGauge,
}

/// One counter for each value of a closed set.
#[derive(Clone, Debug)]
struct PerValue<V> {
    counters: Vec<IntCounter>,
    values: PhantomData<V>,
}

impl EdgeMetrics {
    /// A registry with every metric of the edge, the process and the build in it.
    ///
    /// # Errors
    ///
    /// When two metrics have one name, which would be a bug in `names`.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = registered(
            &registry,
            IntGaugeVec::new(opts(names::BUILD_INFO), names::BUILD_INFO.labels)?,
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process))?;
        Ok(Self {
            connections: counters(&registry, names::CONNECTIONS)?,
            admitted: counters(&registry, names::ADMITTED)?,
            open: gauges(&registry, names::OPEN)?,
            refused: counters(&registry, names::REFUSED)?,
            handshake_seconds: histograms(&registry, names::HANDSHAKE_SECONDS, HANDSHAKE_BUCKETS)?,
            handshake_failures: counters(&registry, names::HANDSHAKE_FAILURES)?,
            tls_handshakes: counters(&registry, names::TLS_VERSIONS)?,
            certificate_not_after: gauges(&registry, names::CERTIFICATE_NOT_AFTER)?,
            bytes: counters(&registry, names::BYTES)?,
            delay_seconds: histograms(&registry, names::DELAY_SECONDS, DELAY_BUCKETS)?,
            delay_queue: gauges(&registry, names::DELAY_QUEUE)?,
            limiter_sources: gauges(&registry, names::LIMITER_SOURCES)?,
            limiter_capacity: gauges(&registry, names::LIMITER_CAPACITY)?,
            limiter_memory_bound: gauges(&registry, names::LIMITER_MEMORY_BOUND)?,
            limiter_shared: counters(&registry, names::LIMITER_SHARED)?,
            offences: counters(&registry, names::OFFENCES)?,
            offences_not_counted: counters(&registry, names::OFFENCES_NOT_COUNTED)?,
            offenders: gauges(&registry, names::OFFENDERS)?,
            offenders_capacity: gauges(&registry, names::OFFENDERS_CAPACITY)?,
            bans_asked: counters(&registry, names::BANS_ASKED)?,
            bans: counters(&registry, names::BANS)?,
            upstream_connects: counters(&registry, names::UPSTREAM_CONNECTS)?,
            upstream_open: gauges(&registry, names::UPSTREAM_OPEN)?,
            accept_failures: counters(&registry, names::ACCEPT_FAILURES)?,
            reload_successful: gauges(&registry, names::RELOAD_SUCCESSFUL)?.with_label_values(&[names::HALF]),
            reload_timestamp: registered(
                &registry,
                GaugeVec::new(opts(names::RELOAD_TIMESTAMP), names::RELOAD_TIMESTAMP.labels)?,
            )?
            .with_label_values(&[names::HALF]),
            registry,
        })
    }

    /// The counters of the listener `name`. The same name gets the same counters.
    #[must_use]
    pub fn listener(&self, name: &str) -> ListenerMetrics {
        let tls = |resumed: &str| {
            PerValue::new(|version: Version| {
                self.tls_handshakes
                    .with_label_values(&[name, version.word(), resumed])
            })
        };
        let direction = |direction: Direction| self.bytes.with_label_values(&[name, direction.word()]);
        ListenerMetrics {
            connections: PerValue::new(|closure: Closure| {
                self.connections.with_label_values(&[name, closure.word()])
            }),
            refused: PerValue::new(|refusal: Refusal| {
                self.refused.with_label_values(&[name, refusal.word()])
            }),
            handshake_failures: PerValue::new(|failure: HandshakeFailure| {
                self.handshake_failures.with_label_values(&[name, failure.word()])
            }),
            accept_failures: PerValue::new(|failure: AcceptFailure| {
                self.accept_failures.with_label_values(&[name, failure.word()])
            }),
            offences: PerValue::new(|offence: Offence| {
                self.offences.with_label_values(&[name, offence.word()])
            }),
            bans: PerValue::new(|result: BanResult| self.bans.with_label_values(&[name, result.word()])),
            tls_full: tls("no"),
            tls_resumed: tls("yes"),
            admitted: self.admitted.with_label_values(&[name]),
            open: self.open.with_label_values(&[name]),
            handshake_seconds: self.handshake_seconds.with_label_values(&[name]),
            to_upstream: direction(Direction::ToUpstream),
            to_client: direction(Direction::ToClient),
            delay_seconds: self.delay_seconds.with_label_values(&[name]),
            delay_queue: self.delay_queue.with_label_values(&[name]),
            limiter_sources: self.limiter_sources.with_label_values(&[name]),
            limiter_capacity: self.limiter_capacity.with_label_values(&[name]),
            limiter_memory_bound: self.limiter_memory_bound.with_label_values(&[name]),
            limiter_shared: self.limiter_shared.with_label_values(&[name]),
            offences_not_counted: self.offences_not_counted.with_label_values(&[name]),
            offenders: self.offenders.with_label_values(&[name]),
            offenders_capacity: self.offenders_capacity.with_label_values(&[name]),
            bans_asked: self.bans_asked.with_label_values(&[name]),
        }
    }

    /// The counters of the upstream `name`.
    #[must_use]
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        UpstreamMetrics {
            connects: PerValue::new(|connect: Connect| {
                self.upstream_connects.with_label_values(&[name, connect.word()])
            }),
            open: self.upstream_open.with_label_values(&[name]),
        }
    }

    /// Notes when the certificate in `file` expires, in seconds since the epoch.
    pub fn certificate_expires(&self, listener: &str, file: &str, not_after: i64) {
        self.certificate_not_after
            .with_label_values(&[listener, file])
            .set(not_after);
    }

    /// Ends the series of a certificate that is configured no more.
    pub fn forget_certificate(&self, listener: &str, file: &str) {
        drop(self.certificate_not_after.remove_label_values(&[listener, file]));
    }

    /// Ends the series of a listener that is configured no more.
    pub fn forget_listener(&self, name: &str) {
        forget(&self.connections, name, Closure::ALL);
        forget(&self.refused, name, Refusal::ALL);
        forget(&self.handshake_failures, name, HandshakeFailure::ALL);
        forget(&self.accept_failures, name, AcceptFailure::ALL);
        forget(&self.bytes, name, Direction::ALL);
        forget(&self.offences, name, Offence::ALL);
        forget(&self.bans, name, BanResult::ALL);
        for version in Version::ALL {
            for resumed in ["no", "yes"] {
                drop(
                    self.tls_handshakes
                        .remove_label_values(&[name, version.word(), resumed]),
                );
            }
        }
        let single = [
            &self.admitted,
            &self.limiter_shared,
            &self.offences_not_counted,
            &self.bans_asked,
        ];
        for counter in single {
            drop(counter.remove_label_values(&[name]));
        }
        let gauges = [
            &self.open,
            &self.delay_queue,
            &self.limiter_sources,
            &self.limiter_capacity,
            &self.limiter_memory_bound,
            &self.offenders,
            &self.offenders_capacity,
        ];
        for gauge in gauges {
            drop(gauge.remove_label_values(&[name]));
        }
        for histogram in [&self.handshake_seconds, &self.delay_seconds] {
            drop(histogram.remove_label_values(&[name]));
        }
    }

    /// Ends the series of an upstream that is configured no more.
    pub fn forget_upstream(&self, name: &str) {
        forget(&self.upstream_connects, name, Connect::ALL);
        drop(self.upstream_open.remove_label_values(&[name]));
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

impl ListenerMetrics {
    /// Counts the end of a connection.
    pub fn ended(&self, closure: Closure) {
        self.connections.inc(closure);
    }

    /// Counts a refusal, which is also the end of a connection.
    pub fn refused(&self, refusal: Refusal) {
        self.refused.inc(refusal);
        self.ended(Closure::Refused);
    }

    /// Counts a failed handshake.
    pub fn handshake_failed(&self, failure: HandshakeFailure) {
        self.handshake_failures.inc(failure);
    }

    /// Counts an offence.
    pub fn offence(&self, offence: Offence) {
        self.offences.inc(offence);
    }

    /// Counts what came of a ban that was asked for.
    pub fn ban(&self, result: BanResult) {
        self.bans.inc(result);
    }

    /// Counts a finished handshake.
    pub fn handshake_done(&self, version: Version, resumed: bool, took: Duration) {
        let counters = if resumed {
            &self.tls_resumed
        } else {
            &self.tls_full
        };
        counters.inc(version);
        self.handshake_seconds.observe(took.as_secs_f64());
    }

    /// Counts a failed accept.
    pub fn accept_failed(&self, failure: AcceptFailure) {
        self.accept_failures.inc(failure);
    }
}

impl UpstreamMetrics {
    /// Counts an attempt to connect.
    pub fn connect(&self, connect: Connect) {
        self.connects.inc(connect);
    }
}

impl<V: LabelValue> PerValue<V> {
    fn new(counter: impl Fn(V) -> IntCounter) -> Self {
        Self {
            counters: V::ALL.iter().map(|value| counter(*value)).collect(),
            values: PhantomData,
        }
    }

    fn inc(&self, value: V) {
        self.counters[value.index()].inc();
    }
}

fn opts(metric: Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counters(registry: &Registry, metric: Metric) -> Result<IntCounterVec, prometheus::Error> {
    registered(registry, IntCounterVec::new(opts(metric), metric.labels)?)
}

fn gauges(registry: &Registry, metric: Metric) -> Result<IntGaugeVec, prometheus::Error> {
    registered(registry, IntGaugeVec::new(opts(metric), metric.labels)?)
}

fn histograms(
    registry: &Registry,
    metric: Metric,
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::new(metric.name, metric.help).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(opts, metric.labels)?)
}

/// Removes the series `name` × `values`. Removing one that is not there is an error nobody needs.
fn forget<V: LabelValue>(counters: &IntCounterVec, name: &str, values: &[V]) {
    for value in values {
        drop(counters.remove_label_values(&[name, value.word()]));
    }
}

/// From a resumed handshake on loopback to a phone on a bad network.
const HANDSHAKE_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Up to the default `delay.max` of 2 s and a little beyond.
const DELAY_BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_has_all_its_series_from_the_start_and_none_after_it_is_forgotten() {
        let metrics = EdgeMetrics::new().unwrap();
        let before = metrics.text();
        let listener = metrics.listener("api");
        listener.refused(Refusal::Rate);
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
