//! The wall clock, for what ends at a written moment.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970. A clock before that is taken for that moment: nothing has ended then.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
