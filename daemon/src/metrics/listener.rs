//! What is counted of each listener.
//!
//! registry → **listener** → transport. Handed out as plain counters, so that a connection looks up no label.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::families;
use super::labels::{
    AcceptFailure, BanResult, ClientAcceptance, ClientRefusal, Closure, Delay, Direction, Group,
    HandshakeFailure, LabelValue as _, Offence, ProxyResult, Refusal, Version,
};
use super::register::{PerValue, counters, forget, gauges, histograms};

/// The families with a series for each listener.
pub(super) struct ListenerFamilies {
    connections: IntCounterVec,
    admitted: IntCounterVec,
    open: IntGaugeVec,
    refused: IntCounterVec,
    proxy_headers: IntCounterVec,
    would_refuse: IntCounterVec,
    would_delay: IntCounterVec,
    pauses: IntCounterVec,
    handshake_seconds: HistogramVec,
    handshake_failures: IntCounterVec,
    client_auth: IntCounterVec,
    tls_handshakes: IntCounterVec,
    key_exchanges: IntCounterVec,
    certificate_not_after: IntGaugeVec,
    staple_next_update: IntGaugeVec,
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
    accept_failures: IntCounterVec,
}

/// The counters of one listener.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    connections: PerValue<Closure>,
    refused: PerValue<Refusal>,
    proxy_headers: PerValue<ProxyResult>,
    would_refuse: PerValue<Refusal>,
    would_delay: PerValue<Delay>,
    handshake_failures: PerValue<HandshakeFailure>,
    client_acceptances: PerValue<ClientAcceptance>,
    client_refusals: PerValue<ClientRefusal>,
    accept_failures: PerValue<AcceptFailure>,
    offences: PerValue<Offence>,
    bans: PerValue<BanResult>,
    tls_full: PerValue<Version>,
    tls_resumed: PerValue<Version>,
    key_exchanges: PerValue<Group>,
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
    /// Reads that waited for bandwidth.
    pub pauses: IntCounter,
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

impl ListenerFamilies {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            connections: counters(registry, families::CONNECTIONS)?,
            admitted: counters(registry, families::ADMITTED)?,
            open: gauges(registry, families::OPEN)?,
            refused: counters(registry, families::REFUSED)?,
            proxy_headers: counters(registry, families::PROXY_HEADERS)?,
            would_refuse: counters(registry, families::WOULD_REFUSE)?,
            would_delay: counters(registry, families::WOULD_DELAY)?,
            pauses: counters(registry, families::PAUSES)?,
            handshake_seconds: histograms(registry, families::HANDSHAKE_SECONDS, HANDSHAKE_BUCKETS)?,
            handshake_failures: counters(registry, families::HANDSHAKE_FAILURES)?,
            client_auth: counters(registry, families::CLIENT_AUTH)?,
            tls_handshakes: counters(registry, families::TLS_VERSIONS)?,
            key_exchanges: counters(registry, families::KEY_EXCHANGES)?,
            certificate_not_after: gauges(registry, families::CERTIFICATE_NOT_AFTER)?,
            staple_next_update: gauges(registry, families::STAPLE_NEXT_UPDATE)?,
            bytes: counters(registry, families::BYTES)?,
            delay_seconds: histograms(registry, families::DELAY_SECONDS, DELAY_BUCKETS)?,
            delay_queue: gauges(registry, families::DELAY_QUEUE)?,
            limiter_sources: gauges(registry, families::LIMITER_SOURCES)?,
            limiter_capacity: gauges(registry, families::LIMITER_CAPACITY)?,
            limiter_memory_bound: gauges(registry, families::LIMITER_MEMORY_BOUND)?,
            limiter_shared: counters(registry, families::LIMITER_SHARED)?,
            offences: counters(registry, families::OFFENCES)?,
            offences_not_counted: counters(registry, families::OFFENCES_NOT_COUNTED)?,
            offenders: gauges(registry, families::OFFENDERS)?,
            offenders_capacity: gauges(registry, families::OFFENDERS_CAPACITY)?,
            bans_asked: counters(registry, families::BANS_ASKED)?,
            bans: counters(registry, families::BANS)?,
            accept_failures: counters(registry, families::ACCEPT_FAILURES)?,
        })
    }

    /// The counters of the listener `name`. The same name gets the same counters.
    pub(super) fn of(&self, name: &str) -> ListenerMetrics {
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
            proxy_headers: PerValue::new(|result: ProxyResult| {
                self.proxy_headers.with_label_values(&[name, result.word()])
            }),
            would_refuse: PerValue::new(|refusal: Refusal| {
                self.would_refuse.with_label_values(&[name, refusal.word()])
            }),
            would_delay: PerValue::new(|delay: Delay| {
                self.would_delay.with_label_values(&[name, delay.word()])
            }),
            handshake_failures: PerValue::new(|failure: HandshakeFailure| {
                self.handshake_failures.with_label_values(&[name, failure.word()])
            }),
            client_acceptances: PerValue::new(|acceptance: ClientAcceptance| {
                self.client_auth.with_label_values(&[name, acceptance.word()])
            }),
            client_refusals: PerValue::new(|refusal: ClientRefusal| {
                self.client_auth.with_label_values(&[name, refusal.word()])
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
            key_exchanges: PerValue::new(|group: Group| {
                self.key_exchanges.with_label_values(&[name, group.word()])
            }),
            admitted: self.admitted.with_label_values(&[name]),
            open: self.open.with_label_values(&[name]),
            handshake_seconds: self.handshake_seconds.with_label_values(&[name]),
            to_upstream: direction(Direction::ToUpstream),
            to_client: direction(Direction::ToClient),
            pauses: self.pauses.with_label_values(&[name]),
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

    /// Notes when the certificate in `file` expires, in seconds since the epoch.
    pub(super) fn certificate_expires(&self, listener: &str, file: &str, not_after: i64) {
        self.certificate_not_after
            .with_label_values(&[listener, file])
            .set(not_after);
    }

    /// Notes when the staple of the certificate in `file` runs out; `None`: it has none.
    pub(super) fn staple_ends(&self, listener: &str, file: &str, end: Option<i64>) {
        match end {
            Some(end) => self
                .staple_next_update
                .with_label_values(&[listener, file])
                .set(end),
            None => drop(self.staple_next_update.remove_label_values(&[listener, file])),
        }
    }

    /// Ends the series of a certificate that is configured no more.
    pub(super) fn forget_certificate(&self, listener: &str, file: &str) {
        drop(self.certificate_not_after.remove_label_values(&[listener, file]));
        self.staple_ends(listener, file, None);
    }

    /// Ends the series of a listener that is configured no more.
    pub(super) fn forget(&self, name: &str) {
        forget(&self.connections, name, Closure::ALL);
        forget(&self.refused, name, Refusal::ALL);
        forget(&self.proxy_headers, name, ProxyResult::ALL);
        forget(&self.would_refuse, name, Refusal::ALL);
        forget(&self.would_delay, name, Delay::ALL);
        forget(&self.handshake_failures, name, HandshakeFailure::ALL);
        forget(&self.client_auth, name, ClientAcceptance::ALL);
        forget(&self.client_auth, name, ClientRefusal::ALL);
        forget(&self.accept_failures, name, AcceptFailure::ALL);
        forget(&self.bytes, name, Direction::ALL);
        forget(&self.offences, name, Offence::ALL);
        forget(&self.bans, name, BanResult::ALL);
        forget(&self.key_exchanges, name, Group::ALL);
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
            &self.pauses,
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
}

impl ListenerMetrics {
    /// Counts the end of a connection.
    pub fn ended(&self, closure: Closure) {
        self.connections.inc(closure);
    }

    /// Counts a refusal. The end of the connection is counted by itself.
    pub fn refused(&self, refusal: Refusal) {
        self.refused.inc(refusal);
    }

    /// Counts the header of a trusted proxy.
    pub fn proxy_header(&self, result: ProxyResult) {
        self.proxy_headers.inc(result);
    }

    /// Counts a connection that would be refused.
    pub fn would_refuse(&self, refusal: Refusal) {
        self.would_refuse.inc(refusal);
    }

    /// The counter of what would be slowed down.
    #[must_use]
    pub fn would_delay(&self, delay: Delay) -> &IntCounter {
        self.would_delay.get(delay)
    }

    /// Counts a failed handshake.
    pub fn handshake_failed(&self, failure: HandshakeFailure) {
        self.handshake_failures.inc(failure);
    }

    /// Counts a client that was asked for a certificate and let in.
    pub fn client_accepted(&self, acceptance: ClientAcceptance) {
        self.client_acceptances.inc(acceptance);
    }

    /// Counts a client that was asked for a certificate and refused.
    pub fn client_refused(&self, refusal: ClientRefusal) {
        self.client_refusals.inc(refusal);
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

    /// Counts a key exchange.
    pub fn key_exchanged(&self, group: Group) {
        self.key_exchanges.inc(group);
    }

    /// Counts a failed accept.
    pub fn accept_failed(&self, failure: AcceptFailure) {
        self.accept_failures.inc(failure);
    }
}

/// From a resumed handshake on loopback to a phone on a bad network.
const HANDSHAKE_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Up to the default `delay.max` of 2 s and a little beyond.
const DELAY_BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
