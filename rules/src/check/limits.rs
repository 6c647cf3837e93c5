//! `[listener.limits]`.

use std::time::Duration;

use super::{numbers, units};
use crate::diagnostic::{Code, Reporter};
use crate::document::limits::{Ban, Connections, Delay, Limits};
use crate::policy::{ConcurrentLimit, ConnectionLimit, DelayQueue, ListenerLimits, OverLimit, SourceBan};

/// The table with its defaults.
pub(super) fn check(written: Option<Limits>, reporter: &mut Reporter) -> ListenerLimits {
    let Some(written) = written else {
        return ListenerLimits {
            handshake_timeout: HANDSHAKE_TIMEOUT,
            proxy_timeout: PROXY_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            close_timeout: CLOSE_TIMEOUT,
            lifetime: None,
            connections: None,
            concurrent: ConcurrentLimit {
                per_source: None,
                total: CONCURRENT_TOTAL,
            },
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
    let (per_source, total) = (
        concurrent.and_then(|c| c.per_source),
        concurrent.and_then(|c| c.total),
    );
    ListenerLimits {
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
        concurrent: ConcurrentLimit {
            per_source: numbers::optional("per_source", per_source, 1..=MAX_CONCURRENT, reporter),
            total: numbers::bounded("total", total, 1..=MAX_CONCURRENT, CONCURRENT_TOTAL, reporter),
        },
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
    let rate = units::rate("rate", written.rate.as_ref(), reporter);
    let burst = numbers::optional("burst", written.burst, 1..=MAX_BURST, reporter);
    let rate = rate?;
    Some(ConnectionLimit {
        rate,
        burst: burst.unwrap_or_else(|| u32::try_from(rate.count).unwrap_or(MAX_BURST)),
        over: match written.over.map(|word| word.value) {
            Some("delay") => OverLimit::Delay(delay),
            _ => OverLimit::Refuse,
        },
    })
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
