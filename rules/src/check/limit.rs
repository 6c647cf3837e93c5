//! `limit` of a rule, and `[flood]`.

use ravelin_datapath::wire::{Measure, SourceLengths};

use super::units;
use crate::diagnostic::{Code, Reporter, quote};
use crate::document::limit::{Flood as WrittenFlood, Limit as WrittenLimit};
use crate::policy::{Action, Direction, Flood, Limit, Rate};
use crate::source::{Span, Written};

/// What a limit's rule is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of {
    pub(super) action: Action,
    pub(super) direction: Direction,
    pub(super) stateful: bool,
}

/// The limit of a rule. `None` when it is absent or makes no sense, which is reported.
pub(super) fn check(written: Option<&WrittenLimit>, of: Of, reporter: &mut Reporter) -> Option<Limit> {
    let written = written?;
    if of.action != Action::Allow {
        let message = format!("`limit` on a rule with `action = \"{}\"`", of.action.word());
        let help = "write it on the rule that allows the packets; what is over the limit is denied";
        reporter.report(Code::BadLimit, written.span, message, help);
        return None;
    }
    let sources = sources(written.per.as_ref(), reporter);
    if of.direction == Direction::Outbound && matches!(sources, Ok(Some(_))) {
        let span = written.per.as_ref().map_or(written.span, |per| per.span);
        let message = "a limit per source on an outbound rule: the source is this host";
        let help = "write `per = \"rule\"`";
        reporter.report(Code::BadLimit, span, message, help);
    }
    let (measure, rate) = measured(written, of.stateful, reporter)?;
    let burst = burst(written.burst, measure, rate, reporter);
    Some(Limit {
        measure,
        rate,
        burst: burst?,
        sources: sources.ok()?,
    })
}

/// The table with its defaults.
pub(super) fn flood(written: Option<WrittenFlood>, reporter: &mut Reporter) -> Flood {
    let budget = written.and_then(|flood| flood.syn_budget).and_then(|written| {
        let rate = units::rate("rate", written.rate.as_ref(), reporter)?;
        let burst = burst(written.burst, Measure::NewFlows, rate, reporter)?;
        Some(Limit {
            measure: Measure::NewFlows,
            rate,
            burst,
            sources: None,
        })
    });
    Flood { syn_budget: budget }
}

/// What takes a token, and how many come.
fn measured(written: &WrittenLimit, stateful: bool, reporter: &mut Reporter) -> Option<(Measure, Rate)> {
    let all = [
        ("packets", Measure::Packets, &written.packets),
        ("bytes", Measure::Bytes, &written.bytes),
        ("new_flows", Measure::NewFlows, &written.new_flows),
    ];
    let mut there = all.iter().filter(|(_, _, rate)| rate.is_some());
    let (Some((key, measure, Some(text))), None) = (there.next(), there.next()) else {
        let message = match all.iter().any(|(_, _, rate)| rate.is_some()) {
            true => "`limit` limits several things at once",
            false => "`limit` limits nothing",
        };
        let help =
            "write exactly one of `packets = \"2000/s\"`, `bytes = \"10MB/s\"` and `new_flows = \"50/s\"`";
        reporter.report(Code::BadLimit, written.span, message, help);
        return None;
    };
    let (message, help) = match (measure, stateful) {
        (Measure::NewFlows, false) => (
            "`new_flows` on a rule that keeps no flows".to_owned(),
            "write `packets` or `bytes`, or `stateful = true`",
        ),
        (Measure::Packets | Measure::Bytes, true) => (
            format!(
                "`{key}` on a rule that keeps flows: what goes on in a flow passes before the rule is asked"
            ),
            "write `new_flows`, or `stateful = false` and a rule for the replies",
        ),
        _ => (String::new(), ""),
    };
    if !message.is_empty() {
        reporter.report(Code::BadLimit, text.span, message, help);
    }
    let rate = match measure {
        Measure::Bytes => units::bytes_rate(key, Some(text), reporter),
        Measure::Packets | Measure::NewFlows => units::rate(key, Some(text), reporter),
    };
    Some((*measure, rate?))
}

/// Tokens of a full bucket. `None` when they are too few or too many, which is reported.
fn burst(
    written: Option<Written<i64>>,
    measure: Measure,
    rate: Rate,
    reporter: &mut Reporter,
) -> Option<u64> {
    let least = match measure {
        Measure::Bytes => FULL_FRAME,
        Measure::Packets | Measure::NewFlows => 1,
    };
    let most = Limit::most(rate.per).min(MAX_BURST);
    let Some(written) = written else {
        let usual = rate.count.div_ceil(rate.per.as_secs().max(1));
        let at_least = match measure {
            Measure::Bytes => BYTES_AT_ONCE,
            Measure::Packets | Measure::NewFlows => 1,
        };
        return Some(usual.clamp(at_least, Limit::most(rate.per)));
    };
    let burst = u64::try_from(written.value).ok();
    let burst = burst.filter(|burst| (least..=most).contains(burst));
    if burst.is_none() {
        let message = "`burst` is out of range";
        let help = format!("write a whole number from {least} to {most}");
        reporter.report(Code::OutOfRange, written.span, message, help);
    }
    burst
}

/// What makes an address a source; `Ok(None)`: all share one bucket.
fn sources(written: Option<&Written<String>>, reporter: &mut Reporter) -> Result<Option<SourceLengths>, ()> {
    let Some(written) = written else {
        return Ok(Some(SOURCE));
    };
    match written.value.as_str() {
        "rule" => return Ok(None),
        "source" => return Ok(Some(SOURCE)),
        _ => {}
    }
    let Some(lengths) = written.value.strip_prefix("source/").and_then(lengths) else {
        report_per(written.span, &written.value, reporter);
        return Err(());
    };
    Ok(Some(lengths))
}

fn lengths(text: &str) -> Option<SourceLengths> {
    let (v4, v6) = text
        .split_once(',')
        .map_or((text, None), |(v4, v6)| (v4, Some(v6)));
    Some(SourceLengths {
        v4: length(v4, 32)?,
        v6: v6.map_or(Some(SOURCE.v6), |v6| length(v6, 128))?,
    })
}

/// Digits alone: `u8` would take a sign too.
fn length(text: &str, most: u8) -> Option<u8> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = digits.then(|| text.parse().ok()).flatten()?;
    (1..=most).contains(&length).then_some(length)
}

fn report_per(span: Span, text: &str, reporter: &mut Reporter) {
    let message = format!("`per` has no word {}", quote(text));
    let help = "write `source`, `source/24` (IPv4 1 to 32), `source/24,56` (IPv6 1 to 128), or `rule`";
    reporter.report(Code::UnknownWord, span, message, help);
}

/// An IPv4 address, and what one host of IPv6 may have all of.
const SOURCE: SourceLengths = SourceLengths { v4: 32, v6: 64 };

/// The largest number that `burst` can have.
const MAX_BURST: u64 = 1_000_000_000;

/// An Ethernet frame of 1,500 bytes and its header: with less, no full packet would ever pass.
const FULL_FRAME: u64 = 1_514;

/// What may come at once when nobody says so: the largest IP packet, which one system call can send.
const BYTES_AT_ONCE: u64 = 65_536;
