//! `health` and `eject` of `[[upstream]]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{numbers, units};
use crate::diagnostic::{Code, Reporter};
use crate::document::upstream_terms::{Eject, Health};
use crate::policy::{Ejection, HealthChecks};
use crate::source::Written;

/// The table with its defaults.
pub(super) fn health(written: &Health, reporter: &mut Reporter) -> HealthChecks {
    let every = within_an_hour("every", written.every.as_ref(), EVERY, reporter);
    let timeout = units::duration("timeout", written.timeout.as_ref(), TIMEOUT.min(every), reporter);
    if let Some(text) = written.timeout.as_ref().filter(|_| timeout > every) {
        let message = "`timeout` is longer than `every`";
        let help = "write a timeout that is over before the next round of checks begins";
        reporter.report(Code::OutOfRange, text.span, message, help);
    }
    HealthChecks {
        every,
        timeout,
        rise: numbers::bounded("rise", written.rise, 1..=MAX_IN_A_ROW, RISE, reporter),
        fall: numbers::bounded("fall", written.fall, 1..=MAX_IN_A_ROW, FALL, reporter),
    }
}

/// What is written, or the default; `None` when it is switched off.
pub(super) fn eject(written: Option<&Eject>, reporter: &mut Reporter) -> Option<Ejection> {
    let (failures, lasts) = match written {
        None => (None, None),
        Some(Eject::Off) => return None,
        Some(Eject::After { failures, lasts }) => (*failures, lasts.as_ref()),
    };
    Some(Ejection {
        failures: numbers::bounded("failures", failures, 1..=MAX_FAILURES, FAILURES, reporter),
        lasts: within_an_hour("for", lasts, LASTS, reporter),
    })
}

/// The duration, or `default` when it is absent or reported.
fn within_an_hour(
    key: &str,
    text: Option<&Written<String>>,
    default: Duration,
    reporter: &mut Reporter,
) -> Duration {
    let duration = units::duration(key, text, default, reporter);
    let Some(text) = text.filter(|_| !RANGE.contains(&duration)) else {
        return duration;
    };
    let message = format!("`{key}` is out of range");
    let help = "write a duration from `100ms` to `1h`";
    reporter.report(Code::OutOfRange, text.span, message, help);
    default
}

const EVERY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);
const RISE: u32 = 2;
const FALL: u32 = 3;
const FAILURES: u32 = 5;
const LASTS: Duration = Duration::from_secs(10);

/// More often, checks are a load on the servers; a server that is to stay out for longer does not belong into the policy.
const RANGE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);

/// More in a row is a typing slip, not a wish.
const MAX_IN_A_ROW: u32 = 100;
const MAX_FAILURES: u32 = 1_000;
