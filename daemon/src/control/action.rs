//! Everything that a running half can be told.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::peer::Standing;

/// One thing to do. Each says who may ask for it, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Drop packets from these prefixes for a while. An operator, and of single sources the edge's user; the filter only, at any time.
    Ban,
    /// List live bans. An operator; the filter only, at any time.
    Bans,
    /// Take everything out of the kernel and end. An operator; the filter only, at any time.
    Detach,
    /// Give everything that listens to the process that asks, and leave once it serves. An operator; the edge only, at any time.
    HandOver,
    /// Give the metrics as text. An operator, and the edge's user; at any time.
    Metrics,
    /// Read the policy again and make it live, or say why not. An operator; at any time: a reload that runs is waited for.
    Reload,
    /// List the rules with their counters. An operator; the filter only, at any time.
    Rules,
    /// Say what is live and how the last reload went. An operator; at any time.
    Status,
    /// Take bans away. An operator; the filter only, at any time.
    Unban,
    /// Start the binary that is on disk now as a new edge, which takes over from the running one. An operator; a filter that has an edge
    /// of its own only, one at a time.
    Upgrade,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 10] = [
        Self::Ban,
        Self::Bans,
        Self::Detach,
        Self::HandOver,
        Self::Metrics,
        Self::Reload,
        Self::Rules,
        Self::Status,
        Self::Unban,
        Self::Upgrade,
    ];

    /// The word in requests and in the audit log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Bans => "bans",
            Self::Detach => "detach",
            Self::HandOver => "hand-over",
            Self::Metrics => "metrics",
            Self::Reload => "reload",
            Self::Rules => "rules",
            Self::Status => "status",
            Self::Unban => "unban",
            Self::Upgrade => "upgrade",
        }
    }

    /// Whether a peer of that standing may ask for it.
    #[must_use]
    pub const fn allowed(self, standing: Standing) -> bool {
        match standing {
            Standing::Operator => true,
            // The edge parses hostile bytes: whoever takes it over gets numbers, and can keep people out (`edge_bans` says whom, and for
            // how long), but lets nobody in.
            Standing::Edge => matches!(self, Self::Ban | Self::Metrics),
            Standing::Stranger => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Standing};

    #[test]
    fn a_stranger_may_nothing_and_the_edge_only_bans_and_metrics() {
        for action in Action::ALL {
            assert!(action.allowed(Standing::Operator));
            assert!(!action.allowed(Standing::Stranger));
            let for_edges = [Action::Ban, Action::Metrics].contains(&action);
            assert_eq!(action.allowed(Standing::Edge), for_edges);
        }
    }

    #[test]
    fn the_word_is_what_requests_say() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.word());
        }
    }
}
