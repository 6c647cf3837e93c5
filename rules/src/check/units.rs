//! Durations, rates and sizes: `500ms`, `10s`, `50/s`, `200k/s`, `10MB/s`, `64MiB`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::diagnostic::{Code, Reporter, quote};
use crate::policy::Rate;
use crate::source::Written;

/// The duration, or `default` when it is absent or reported.
pub(super) fn duration(
    key: &str,
    text: Option<&Written<String>>,
    default: Duration,
    reporter: &mut Reporter,
) -> Duration {
    let Some(text) = text else {
        return default;
    };
    let (code, message, help) = match parse_duration(&text.value) {
        Some(Duration::ZERO) => (
            Code::OutOfRange,
            format!("`{key}` is zero"),
            "write a duration above zero, like `10s`",
        ),
        Some(duration) if duration > MAX_DURATION => (
            Code::OutOfRange,
            format!("`{key}` is longer than a year"),
            "write a duration of at most `365d`",
        ),
        Some(duration) => return duration,
        None => (
            Code::BadDuration,
            format!("{} is not a duration", quote(&text.value)),
            "write a whole number and `ms`, `s`, `m`, `h` or `d`, like `500ms`, `10s` or `6h`",
        ),
    };
    reporter.report(code, text.span, message, help);
    default
}

/// A duration of the policy language that may stand anywhere in it: above zero, at most a year.
#[must_use]
pub fn read_duration(text: &str) -> Option<Duration> {
    parse_duration(text).filter(|duration| *duration > Duration::ZERO && *duration <= MAX_DURATION)
}

/// The rate, if it is there; reports one that is none.
pub(super) fn rate(key: &str, text: Option<&Written<String>>, reporter: &mut Reporter) -> Option<Rate> {
    let text = text?;
    let (code, message, help) = match parse_rate(&text.value) {
        Some(Rate { count: 0, .. }) => (
            Code::OutOfRange,
            format!("`{key}` is zero"),
            "write a rate above zero, like `50/s`; to let nobody in, use `deny`",
        ),
        Some(rate) if rate.count > MAX_COUNT => (
            Code::OutOfRange,
            format!("`{key}` is above 1000M"),
            "write a smaller rate, or leave the limit out",
        ),
        Some(rate) => return Some(rate),
        None => (
            Code::BadRate,
            format!("{} is not a rate", quote(&text.value)),
            "write a whole number, perhaps with `k` or `M`, and `/s`, `/m` or `/h`, like `50/s` or `200k/s`",
        ),
    };
    reporter.report(code, text.span, message, help);
    None
}

/// The rate of bytes, if it is there; reports one that is none.
pub(super) fn bytes_rate(key: &str, text: Option<&Written<String>>, reporter: &mut Reporter) -> Option<Rate> {
    let text = text?;
    let (code, message, help) = match parse_bytes_rate(&text.value) {
        Some(Rate { count: 0, .. }) => (
            Code::OutOfRange,
            format!("`{key}` is zero"),
            "write a rate above zero, like `10MB/s`; to let nobody in, use `deny`",
        ),
        Some(rate) if rate.count > MAX_BYTES => (
            Code::OutOfRange,
            format!("`{key}` is above 1000GB"),
            "write a smaller rate, or leave the limit out",
        ),
        Some(rate) => return Some(rate),
        None => (
            Code::BadRate,
            format!("{} is not a rate of bytes", quote(&text.value)),
            "write a whole number with `B`, `KB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`, and `/s`, `/m` or `/h`, like `10MB/s`",
        ),
    };
    reporter.report(code, text.span, message, help);
    None
}

/// Bytes of memory, or `default` when it is absent or reported.
pub(super) fn memory(
    key: &str,
    text: Option<&Written<String>>,
    default: u64,
    bounds: RangeInclusive<u64>,
    reporter: &mut Reporter,
) -> u64 {
    let Some(text) = text else {
        return default;
    };
    let (code, message, help) = match parse_memory(&text.value) {
        Some(bytes) if bounds.contains(&bytes) => return bytes,
        Some(_) => (
            Code::OutOfRange,
            format!(
                "`{key}` is not between {} and {} MiB",
                bounds.start() >> 20,
                bounds.end() >> 20
            ),
            "write a size within these bounds, like `64MiB`",
        ),
        None => (
            Code::BadSize,
            format!("{} is not a size", quote(&text.value)),
            "write a whole number and `KiB`, `MiB` or `GiB`, like `64MiB`",
        ),
    };
    reporter.report(code, text.span, message, help);
    default
}

fn parse_memory(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    let bytes: u64 = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    Some(number.saturating_mul(bytes))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_number(text)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // A product that does not fit is longer than the bound, and is refused as such.
    Some(Duration::from_millis(number.saturating_mul(milliseconds)))
}

fn parse_rate(text: &str) -> Option<Rate> {
    parse_rate_with(text, |scale| match scale {
        "" => Some(1),
        "k" => Some(1_000),
        "M" => Some(1_000_000),
        _ => None,
    })
}

fn parse_bytes_rate(text: &str) -> Option<Rate> {
    parse_rate_with(text, |scale| match scale {
        "B" => Some(1),
        "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    })
}

fn parse_rate_with(text: &str, scale_of: impl Fn(&str) -> Option<u64>) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let (number, scale) = split_number(count)?;
    let scale = scale_of(scale)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    Some(Rate {
        count: number.saturating_mul(scale),
        per: Duration::from_secs(seconds),
    })
}

/// The digits in front, saturated, and what follows them.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits)?;
    if number.is_empty() {
        return None;
    }
    // Only digits: the one way to fail is a number that does not fit.
    Some((number.parse().unwrap_or(u64::MAX), rest))
}

/// Timers add durations to a clock: what cannot overflow there needs no check there.
const MAX_DURATION: Duration = Duration::from_secs(365 * 86_400);

/// A limiter divides a second by this: above it, the time between two events would be zero nanoseconds.
const MAX_COUNT: u64 = 1_000_000_000;

/// No card is so fast: a typing slip, not a wish.
const MAX_BYTES: u64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("6h", 21_600_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn texts_that_are_no_duration_are_refused() {
        for text in [
            "", "s", "10", "10 s", "-1s", "+1s", "1.5s", "10S", "1h30m", "٣s", "10sec",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_read_in_every_unit_and_scale() {
        for (text, count, seconds) in [
            ("50/s", 50, 1),
            ("3/m", 3, 60),
            ("7/h", 7, 3_600),
            ("200k/s", 200_000, 1),
            ("2M/m", 2_000_000, 60),
        ] {
            let per = Duration::from_secs(seconds);
            assert_eq!(parse_rate(text), Some(Rate { count, per }), "{text}");
        }
    }

    #[test]
    fn rates_of_bytes_are_read_in_every_unit() {
        for (text, count, seconds) in [
            ("1514B/s", 1_514, 1),
            ("10KB/m", 10_000, 60),
            ("10MB/s", 10_000_000, 1),
            ("1GB/h", 1_000_000_000, 3_600),
            ("3KiB/s", 3_072, 1),
            ("1MiB/s", 1 << 20, 1),
            ("2GiB/s", 1 << 31, 1),
        ] {
            let per = Duration::from_secs(seconds);
            assert_eq!(parse_bytes_rate(text), Some(Rate { count, per }), "{text}");
        }
        for text in [
            "10/s", "10M/s", "10mb/s", "10MB", "MB/s", "1.5MB/s", "10MB/s/s", "10MB /s",
        ] {
            assert_eq!(parse_bytes_rate(text), None, "{text}");
        }
        assert!(parse_bytes_rate("99999999999999999999GB/s").unwrap().count > MAX_BYTES);
    }

    #[test]
    fn sizes_are_read_in_every_unit_and_nothing_else_is_one() {
        let sizes = [("512KiB", 1 << 19), ("64MiB", 1 << 26), ("1GiB", 1 << 30)];
        for (text, bytes) in sizes {
            assert_eq!(parse_memory(text), Some(bytes), "{text}");
        }
        for text in ["", "64", "64MB", "64 MiB", "MiB", "-1MiB", "1.5GiB"] {
            assert_eq!(parse_memory(text), None, "{text}");
        }
        assert_eq!(parse_memory("99999999999999999999GiB"), Some(u64::MAX));
    }

    #[test]
    fn texts_that_are_no_rate_are_refused() {
        for text in [
            "", "/s", "50", "50/", "50/d", "50/S", "50K/s", "5 0/s", "k/s", "-1/s", "1.5k/s", "50/s/s",
        ] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_saturate_and_so_are_over_every_bound() {
        assert!(parse_duration("99999999999999999999d").unwrap() > MAX_DURATION);
        assert!(parse_duration("18446744073709551615h").unwrap() > MAX_DURATION);
        assert!(parse_rate("99999999999999999999M/s").unwrap().count > MAX_COUNT);
    }
}
