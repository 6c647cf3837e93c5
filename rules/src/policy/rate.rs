//! Rates: how many events in how much time.

use std::time::Duration;

/// `count` events per `per`: `50/s` is `{ count: 50, per: 1 s }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub count: u64,
    /// One second, one minute or one hour.
    pub per: Duration,
}
