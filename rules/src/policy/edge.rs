//! `[edge]`, and which connections are logged.

use std::time::Duration;

/// `[edge]`: the process that serves all listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// How long connections may go on after a stop. Default 30 s.
    pub drain_timeout: Duration,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// `[log] access`: which connections get a line at their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// Every one that a listener lets in.
    All,
    /// Those that did not end in order, a bounded number of them.
    Failures,
    /// None.
    #[default]
    Off,
}
