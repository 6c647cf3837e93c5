//! `[listener.limits]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use ravelin_datapath::wire::SourceLengths;

use super::{numbers, units};
use crate::diagnostic::{Code, Reporter};
use crate::document::limits::{Ban, Bandwidth, Connections, Delay, Handshakes, Limits, Network};
use crate::policy::{
    BandwidthLimit, ConcurrentLimit, ConnectionLimit, DelayQueue, HandshakeLimit, ListenerLimits, OverLimit,
    Quota, Rate, SourceBan,
};
use crate::source::Written;

/// The table with its defaults.
pub(super) fn check(written: Option<Limits>, reporter: &mut Reporter) -> ListenerLimits {
    let Some(written) = written else {
        return ListenerLimits {
            observe: false,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            proxy_timeout: PROXY_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            close_timeout: CLOSE_TIMEOUT,
            lifetime: None,
            connections: None,
            handshakes: None,
            concurrent: ConcurrentLimit {
                per_source: None,
                per_network: None,
                total: CONCURRENT_TOTAL,
            },
            bandwidth: BandwidthLimit::default(),
            network: NETWORK,
            max_sources: SOURCES,
            ban: None,
        };
    };
    let handshake = written.handshake_timeout.as_ref();
    let proxy = written.proxy_timeout.as_ref();
    let idle = written.idle_timeout.as_ref();
    let close = written.close_timeout.as_ref();
    let lifetime = written.lifetime.as_ref();
    let delay = delay(written.delay.as_ref(), reporter);
    report_unused_delay(written.delay.as_ref(), written.connections.as_ref(), reporter);
    let concurrent = written.concurrent.as_ref();
    let (per_source, per_network, total) = (
        concurrent.and_then(|c| c.per_source),
        concurrent.and_then(|c| c.per_network),
        concurrent.and_then(|c| c.total),
    );
    report_unused_network(&written, reporter);
    ListenerLimits {
        observe: written.mode.is_some_and(|mode| mode.value == "observe"),
        handshake_timeout: units::duration("handshake_timeout", handshake, HANDSHAKE_TIMEOUT, reporter),
        proxy_timeout: units::duration("proxy_timeout", proxy, PROXY_TIMEOUT, reporter),
        idle_timeout: units::duration("idle_timeout", idle, IDLE_TIMEOUT, reporter),
        close_timeout: units::duration("close_timeout", close, CLOSE_TIMEOUT, reporter),
        lifetime: lifetime
            .map(|text| units::duration("lifetime", Some(text), Duration::from_secs(1), reporter)),
        connections: written
            .connections
            .as_ref()
            .and_then(|written| connections(written, delay, reporter)),
        handshakes: written
            .handshakes
            .as_ref()
            .and_then(|written| handshakes(written, reporter)),
        concurrent: ConcurrentLimit {
            per_network: numbers::optional("per_network", per_network, 1..=MAX_CONCURRENT, reporter),
            per_source: numbers::optional("per_source", per_source, 1..=MAX_CONCURRENT, reporter),
            total: numbers::bounded("total", total, 1..=MAX_CONCURRENT, CONCURRENT_TOTAL, reporter),
        },
        bandwidth: written
            .bandwidth
            .as_ref()
            .map_or_else(BandwidthLimit::default, |written| bandwidth(written, reporter)),
        network: network(written.network.as_ref(), reporter),
        max_sources: numbers::bounded(
            "max_sources",
            written.max_sources,
            1..=MAX_SOURCES,
            SOURCES,
            reporter,
        ),
        ban: written.ban.as_ref().map(|written| ban(written, reporter)),
    }
}

fn connections(written: &Connections, delay: DelayQueue, reporter: &mut Reporter) -> Option<ConnectionLimit> {
    let per_source = quota(written.rate.as_ref(), written.burst, reporter);
    let per_network = written.per_network.as_ref();
    let per_network = per_network.and_then(|written| quota(written.rate.as_ref(), written.burst, reporter));
    Some(ConnectionLimit {
        per_source: per_source?,
        per_network,
        over: match written.over.map(|word| word.value) {
            Some("delay") => OverLimit::Delay(delay),
            _ => OverLimit::Refuse,
        },
    })
}

/// `rate` and `burst`. `None` when the rate was reported.
fn quota(
    rate: Option<&Written<String>>,
    burst: Option<Written<i64>>,
    reporter: &mut Reporter,
) -> Option<Quota> {
    let rate = units::rate("rate", rate, reporter);
    let burst = numbers::optional("burst", burst, 1..=MAX_BURST, reporter);
    let rate = rate?;
    Some(Quota {
        rate,
        burst: burst.unwrap_or_else(|| u32::try_from(rate.count).unwrap_or(MAX_BURST)),
    })
}

fn handshakes(written: &Handshakes, reporter: &mut Reporter) -> Option<HandshakeLimit> {
    Some(HandshakeLimit {
        quota: quota(written.rate.as_ref(), written.burst, reporter)?,
        per_source: written.per.is_some_and(|word| word.value == "source"),
    })
}

fn bandwidth(written: &Bandwidth, reporter: &mut Reporter) -> BandwidthLimit {
    let (connection, source) = (written.per_connection.as_ref(), written.per_source.as_ref());
    if connection.is_none() && source.is_none() {
        let message = "`bandwidth` limits nothing";
        let help = "write `per_connection = \"20MB/s\"`, `per_source = \"100MB/s\"`, or both";
        reporter.report(Code::Empty, written.span, message, help);
    }
    BandwidthLimit {
        per_connection: bytes("per_connection", connection, reporter),
        per_source: bytes("per_source", source, reporter),
    }
}

fn bytes(key: &str, written: Option<&Written<String>>, reporter: &mut Reporter) -> Option<Rate> {
    let rate = units::bytes_rate(key, written, reporter)?;
    if let Some(written) = written
        && rate.count < LEAST_BYTES * rate.per.as_secs()
    {
        let message = format!("`{key}` is below a kilobyte per second");
        let help = "write at least `1KB/s`: with less, a page takes minutes; to let nobody in, use `deny`";
        reporter.report(Code::OutOfRange, written.span, message, help);
    }
    Some(rate)
}

fn network(written: Option<&Network>, reporter: &mut Reporter) -> SourceLengths {
    let (v4, v6) = written.map_or((None, None), |network| (network.v4, network.v6));
    let mut length = |key: &str, number, range, default: u8| {
        let length = numbers::bounded(key, number, range, default.into(), reporter);
        u8::try_from(length).unwrap_or(default)
    };
    SourceLengths {
        v4: length("v4", v4, NETWORK_V4, NETWORK.v4),
        v6: length("v6", v6, NETWORK_V6, NETWORK.v6),
    }
}

fn report_unused_network(limits: &Limits, reporter: &mut Reporter) {
    let rate = limits
        .connections
        .as_ref()
        .and_then(|connections| connections.per_network.as_ref());
    let cap = limits
        .concurrent
        .as_ref()
        .and_then(|concurrent| concurrent.per_network);
    if let Some(network) = limits
        .network
        .as_ref()
        .filter(|_| rate.is_none() && cap.is_none())
    {
        let message = "`network` has no effect without a limit per network";
        let help = "add `per_network` to `connections` or `concurrent`, or take `network` out";
        reporter.report(Code::UnusedNetwork, network.span, message, help);
    }
}

fn delay(written: Option<&Delay>, reporter: &mut Reporter) -> DelayQueue {
    let (max, queue) = written.map_or((None, None), |delay| (delay.max.as_ref(), delay.queue));
    DelayQueue {
        max: units::duration("max", max, DELAY, reporter),
        queue: numbers::bounded("queue", queue, 1..=MAX_QUEUE, QUEUE, reporter),
    }
}

/// A key that is absent was reported by the reader; what stands for it here is never used.
fn ban(written: &Ban, reporter: &mut Reporter) -> SourceBan {
    let lasts = written.lasts.as_ref();
    let ban = SourceBan {
        offences: numbers::bounded("offences", written.offences, 1..=MAX_OFFENCES, 1, reporter),
        window: units::duration(
            "window",
            written.window.as_ref(),
            Duration::from_secs(1),
            reporter,
        ),
        lasts: units::duration("for", lasts, Duration::from_secs(1), reporter),
    };
    if let Some(lasts) = lasts.filter(|_| ban.lasts > SourceBan::LONGEST) {
        let message = "`for` is longer than a week";
        let help = "write a duration of at most `7d`; who is to stay out belongs into `deny` or a rule";
        reporter.report(Code::OutOfRange, lasts.span, message, help);
    }
    ban
}

fn report_unused_delay(delay: Option<&Delay>, connections: Option<&Connections>, reporter: &mut Reporter) {
    let delays = connections
        .and_then(|connections| connections.over)
        .is_some_and(|over| over.value == "delay");
    if let Some(delay) = delay.filter(|_| !delays) {
        let message = "`delay` has no effect without `over = \"delay\"`";
        let help = "add `over = \"delay\"` to `connections`, or take `delay` out";
        reporter.report(Code::UnusedDelay, delay.span, message, help);
    }
}

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const PROXY_TIMEOUT: Duration = Duration::from_secs(3);
const IDLE_TIMEOUT: Duration = Duration::from_secs(3_600);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);
const DELAY: Duration = Duration::from_secs(2);
const QUEUE: u32 = 1_000;
const CONCURRENT_TOTAL: u32 = 20_000;
const SOURCES: u32 = 100_000;

/// What one site usually has of the internet: the longest prefixes that are routed.
const NETWORK: SourceLengths = SourceLengths { v4: 24, v6: 48 };

/// Wider than a source, and no wider than what one allocation can be: more would be strangers who pay for each other.
const NETWORK_V4: RangeInclusive<u32> = 8..=31;
const NETWORK_V6: RangeInclusive<u32> = 16..=63;

/// A TLS record takes 16 s at this: slower is a typing slip, or a wish that `deny` grants.
const LEAST_BYTES: u64 = 1_000;

/// Ten million descriptors are more than a host has: a typing slip, not a wish.
const MAX_CONCURRENT: u32 = 10_000_000;

/// A bucket is tens of bytes: ten million stay below a gigabyte.
const MAX_SOURCES: u32 = 10_000_000;

/// Each waiting connection holds a descriptor and a timer.
const MAX_QUEUE: u32 = 1_000_000;

/// Each remembered offence is 8 bytes of every source that has offended.
const MAX_OFFENCES: u32 = 1_000;

/// The largest number a rate can have.
const MAX_BURST: u32 = 1_000_000_000;
