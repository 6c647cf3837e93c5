//! Whole numbers with a range.

use std::ops::RangeInclusive;

use crate::diagnostic::{Code, Reporter};
use crate::source::Written;

/// The number, or `default` when it is absent; reports one outside `range` and answers with `default`.
pub(super) fn bounded(
    key: &str,
    number: Option<Written<i64>>,
    range: RangeInclusive<u32>,
    default: u32,
    reporter: &mut Reporter,
) -> u32 {
    optional(key, number, range, reporter).unwrap_or(default)
}

/// The number, if it is there; reports one outside `range`.
pub(super) fn optional(
    key: &str,
    number: Option<Written<i64>>,
    range: RangeInclusive<u32>,
    reporter: &mut Reporter,
) -> Option<u32> {
    let number = number?;
    let value = u32::try_from(number.value)
        .ok()
        .filter(|value| range.contains(value));
    if value.is_none() {
        let message = format!("`{key}` is out of range");
        let help = format!("write a whole number from {} to {}", range.start(), range.end());
        reporter.report(Code::OutOfRange, number.span, message, help);
    }
    value
}
