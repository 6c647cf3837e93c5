//! What the packet layer says of itself, in Prometheus' text format.
//!
//! counters, what is applied → **metrics** → the `metrics` action of the control socket → the edge's `/metrics`. Label
//! values come from the policy and from closed sets only: nothing a packet carries can make a new series.

use std::time::UNIX_EPOCH;

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use ravelin_datapath::wire::{BANS, BUCKETS, FLOWS, FlowTables, LimitTables};
use ravelin_datapath::{Direction, ParseClass, Reason, Verdict};
use ravelin_rules::policy::ListedSet;

use super::attach::Attachment;
use super::counters::{Count, Counters, CountersError};
use super::{Applied, RuleSlot};
use crate::metrics::families::{self, Metric};

/// What is known besides the counters in the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What is live; `None` when an earlier process's generation is kept.
    pub applied: Option<&'a Applied>,
    /// Where it is attached.
    pub attachments: &'a [Attachment],
    /// Rules that have a counter.
    pub rules: &'a [RuleSlot],
    /// What the sets of the live policy hold.
    pub sets: &'a [ListedSet],
    /// Whether the last reload was accepted.
    pub last_reload_successful: bool,
    /// When the last accepted policy was applied, seconds since 1970.
    pub last_success: Option<f64>,
    /// Accepted reloads since the start.
    pub reloads_accepted: u64,
    /// Those of them that changed the tables of the live generation in place.
    pub reloads_amended: u64,
    /// Refused or failed reloads since the start.
    pub reloads_refused: u64,
    /// The bans; `None` when there can be none yet.
    pub bans: Option<&'a BanFacts>,
}

/// What is known of bans.
#[derive(Clone, Debug, Default)]
pub struct BanFacts {
    /// How many there are, with those that have just ended.
    pub count: u32,
    /// Refused since the start, by why.
    pub refused: Vec<(&'static str, u64)>,
}

/// Everything, as one text.
///
/// # Errors
///
/// When a counter cannot be read.
pub fn text(counters: &Counters, facts: Facts<'_>) -> Result<String, MetricsError> {
    let registry = Registry::new();
    packets(&registry, counters)?;
    rules(&registry, counters, facts.rules)?;
    flows(&registry, counters)?;
    limits(&registry, counters)?;
    generation(&registry, facts)?;
    sets(&registry, facts.sets)?;
    reloads(&registry, facts)?;
    if let Some(facts) = facts.bans {
        bans(&registry, facts)?;
    }
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A counter.
    #[error(transparent)]
    Counters(#[from] CountersError),
    /// Two metrics of one name: a bug.
    #[error("cannot write the metrics")]
    Prometheus(#[from] prometheus::Error),
}

fn packets(registry: &Registry, counters: &Counters) -> Result<(), MetricsError> {
    let by_reason = Pair::new(
        registry,
        ["ravelin_packets_total", "ravelin_bytes_total"],
        "judged, by direction, verdict and reason",
        &["direction", "verdict", "reason"],
    )?;
    let by_class = counter_vec(
        registry,
        "ravelin_class_packets_total",
        "Packets in which the parse class was seen, by direction",
        &["direction", "class"],
    )?;
    for direction in Direction::ALL {
        let word = direction.word();
        for reason in Reason::ALL {
            for verdict in [Verdict::Allow, Verdict::Deny] {
                by_reason.set(
                    &[word, verdict.word(), reason.label()],
                    counters.reason(direction, *reason, verdict)?,
                )?;
            }
        }
        for class in ParseClass::ALL {
            let count = counters.class(direction, *class)?;
            by_class
                .get_metric_with_label_values(&[word, class.label()])?
                .inc_by(count.packets);
        }
    }
    Ok(())
}

fn rules(registry: &Registry, counters: &Counters, rules: &[RuleSlot]) -> Result<(), MetricsError> {
    let by_rule = Pair::new(
        registry,
        ["ravelin_rule_packets_total", "ravelin_rule_bytes_total"],
        "decided by the rule",
        &["rule"],
    )?;
    for rule in rules {
        by_rule.set(&[rule.name.as_str()], counters.rule(rule.slot)?)?;
    }
    Ok(())
}

fn flows(registry: &Registry, counters: &Counters) -> Result<(), MetricsError> {
    let Some(counts) = counters.flows()? else {
        return Ok(());
    };
    int_gauge(
        registry,
        "ravelin_flow_table_capacity",
        "Settled flows for which there is always room; as many opening ones have room beside them",
    )?
    .set(FLOWS.into());
    let events = counter_vec(
        registry,
        "ravelin_flow_events_total",
        "What became of flows: opened, settled (both ends are there), no room to open, no room to settle, proven by a SYN cookie that came back",
        &["event"],
    )?;
    for (event, count) in FlowTables::ALL.iter().zip(counts) {
        events
            .get_metric_with_label_values(&[event.word()])?
            .inc_by(count);
    }
    Ok(())
}

fn limits(registry: &Registry, counters: &Counters) -> Result<(), MetricsError> {
    let Some(counts) = counters.limits()? else {
        return Ok(());
    };
    int_gauge(
        registry,
        "ravelin_limit_table_capacity",
        "Buckets of known sources for which there is always room, and as many of others",
    )?
    .set(BUCKETS.into());
    let events = counter_vec(
        registry,
        "ravelin_limit_events_total",
        "What came to pass in the tables of buckets: a source got one, took from the shared one because its table was full, or was denied because \
         the limit's own found no room or others were quicker each time",
        &["event"],
    )?;
    for (event, count) in LimitTables::ALL.iter().zip(counts) {
        events
            .get_metric_with_label_values(&[event.word()])?
            .inc_by(count);
    }
    Ok(())
}

fn generation(registry: &Registry, facts: Facts<'_>) -> Result<(), MetricsError> {
    let rules = int_gauge(registry, "ravelin_rules", "Rules of the live policy")?;
    rules.set(i64::try_from(facts.rules.len()).unwrap_or(i64::MAX));
    if let Some(applied) = facts.applied {
        int_gauge(registry, "ravelin_generation", "Number of the live generation")?
            .set(i64::from(applied.generation));
        int_gauge(
            registry,
            "ravelin_table_bytes",
            "Size of the live generation's tables in the kernel",
        )?
        .set(i64::try_from(applied.table_bytes).unwrap_or(i64::MAX));
    }
    let modes = register(
        registry,
        GaugeVec::new(
            Opts::new(
                "ravelin_xdp_mode_info",
                "The XDP mode reached on the interface; always 1",
            ),
            &["interface", "mode"],
        )?,
    )?;
    let outbound = register(
        registry,
        GaugeVec::new(
            Opts::new(
                "ravelin_outbound_info",
                "What the host sends on the interface is judged; always 1",
            ),
            &["interface"],
        )?,
    )?;
    for attachment in facts.attachments {
        let interface = attachment.interface.as_str();
        modes
            .get_metric_with_label_values(&[interface, attachment.mode.word()])?
            .set(1.0);
        if attachment.outbound.is_some() {
            outbound.get_metric_with_label_values(&[interface])?.set(1.0);
        }
    }
    Ok(())
}

fn sets(registry: &Registry, sets: &[ListedSet]) -> Result<(), MetricsError> {
    let gauge = |name, help| register(registry, GaugeVec::new(Opts::new(name, help), &["set"])?);
    let entries = gauge("ravelin_set_entries", "Entries of the set, as prefixes")?;
    let kept_back = gauge(
        "ravelin_set_kept_back",
        "1 when the set's files changed more than max_change allows, and the last good copies of them are used",
    )?;
    let oldest = gauge(
        "ravelin_set_oldest_file_timestamp_seconds",
        "When the oldest of the set's files was last written",
    )?;
    for set in sets {
        let name = &[set.name.as_str()];
        let count = u32::try_from(set.entries).unwrap_or(u32::MAX);
        entries.get_metric_with_label_values(name)?.set(count.into());
        kept_back
            .get_metric_with_label_values(name)?
            .set(f64::from(u8::from(set.kept_back)));
        if let Some(written) = set.oldest.and_then(|time| time.duration_since(UNIX_EPOCH).ok()) {
            oldest
                .get_metric_with_label_values(name)?
                .set(written.as_secs_f64());
        }
    }
    Ok(())
}

fn bans(registry: &Registry, facts: &BanFacts) -> Result<(), MetricsError> {
    int_gauge(
        registry,
        "ravelin_bans",
        "Bans in the table, with those that have just ended",
    )?
    .set(facts.count.into());
    int_gauge(registry, "ravelin_bans_capacity", "Bans that the table can hold")?.set(BANS.into());
    let refused = counter_vec(
        registry,
        "ravelin_bans_refused_total",
        "Bans that were asked for and refused, by reason",
        &["reason"],
    )?;
    for (reason, count) in &facts.refused {
        refused.get_metric_with_label_values(&[*reason])?.inc_by(*count);
    }
    Ok(())
}

fn reloads(registry: &Registry, facts: Facts<'_>) -> Result<(), MetricsError> {
    // The edge tells the same of itself: one family, one help.
    let half = |metric: Metric| Opts::new(metric.name, metric.help).const_label("half", "filter");
    register(registry, IntGauge::with_opts(half(families::RELOAD_SUCCESSFUL))?)?
        .set(i64::from(facts.last_reload_successful));
    let time = register(registry, Gauge::with_opts(half(families::RELOAD_TIMESTAMP))?)?;
    time.set(facts.last_success.unwrap_or(0.0));
    let total = counter_vec(
        registry,
        "ravelin_reloads_total",
        "Reloads of the policy, by result",
        &["result"],
    )?;
    for (result, count) in [
        ("accepted", facts.reloads_accepted),
        ("refused", facts.reloads_refused),
    ] {
        total.get_metric_with_label_values(&[result])?.inc_by(count);
    }
    let amended = IntCounter::new(
        "ravelin_reloads_amended_total",
        "Accepted reloads that changed the live generation's tables in place",
    )?;
    register(registry, amended)?.inc_by(facts.reloads_amended);
    Ok(())
}

/// A counter of packets and one of bytes, with the same labels.
struct Pair {
    packets: IntCounterVec,
    bytes: IntCounterVec,
}

impl Pair {
    fn new(registry: &Registry, names: [&str; 2], what: &str, labels: &[&str]) -> Result<Self, MetricsError> {
        let [packets, bytes] = names;
        Ok(Self {
            packets: counter_vec(registry, packets, &format!("Packets {what}"), labels)?,
            bytes: counter_vec(registry, bytes, &format!("Bytes of frames {what}"), labels)?,
        })
    }

    fn set(&self, labels: &[&str], count: Count) -> Result<(), MetricsError> {
        let of = |vector: &IntCounterVec, value| {
            vector
                .get_metric_with_label_values(labels)
                .map(|counter: IntCounter| counter.inc_by(value))
        };
        of(&self.packets, count.packets)?;
        Ok(of(&self.bytes, count.bytes)?)
    }
}

fn counter_vec(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, MetricsError> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn int_gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
    register(registry, IntGauge::new(name, help)?)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, MetricsError> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
