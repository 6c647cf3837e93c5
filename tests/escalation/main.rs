//! From offences to bans: the rule against a model, what counts as an offence, and the whole way into the kernel and out again.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod bans;
mod memory;
mod offences;
mod rule;

use std::time::Duration;

/// The name in the certificates of these tests.
const NAME: &str = "api.example.com";

/// Nothing here takes this long unless it hangs.
const SOON: Duration = Duration::from_secs(20);
