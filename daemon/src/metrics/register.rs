//! Registering a family, and one counter for each word of a label.

use std::marker::PhantomData;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::families::Metric;
use super::labels::LabelValue;

/// One counter for each value of a closed set.
#[derive(Clone, Debug)]
pub(super) struct PerValue<V> {
    counters: Vec<IntCounter>,
    values: PhantomData<V>,
}

impl<V: LabelValue> PerValue<V> {
    pub(super) fn new(counter: impl Fn(V) -> IntCounter) -> Self {
        Self {
            counters: V::ALL.iter().map(|value| counter(*value)).collect(),
            values: PhantomData,
        }
    }

    pub(super) fn inc(&self, value: V) {
        self.get(value).inc();
    }

    pub(super) fn get(&self, value: V) -> &IntCounter {
        &self.counters[value.index()]
    }
}

pub(super) fn opts(metric: Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

pub(super) fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

pub(super) fn counters(registry: &Registry, metric: Metric) -> Result<IntCounterVec, prometheus::Error> {
    registered(registry, IntCounterVec::new(opts(metric), metric.labels)?)
}

pub(super) fn gauges(registry: &Registry, metric: Metric) -> Result<IntGaugeVec, prometheus::Error> {
    registered(registry, IntGaugeVec::new(opts(metric), metric.labels)?)
}

pub(super) fn histograms(
    registry: &Registry,
    metric: Metric,
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::new(metric.name, metric.help).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(opts, metric.labels)?)
}

/// Removes the series `name` × `values`. Removing one that is not there is an error nobody needs.
pub(super) fn forget<V: LabelValue>(counters: &IntCounterVec, name: &str, values: &[V]) {
    for value in values {
        drop(counters.remove_label_values(&[name, value.word()]));
    }
}
