//! `[edge]`.

use super::units;
use crate::diagnostic::Reporter;
use crate::document::edge::Edge as Written;
use crate::policy::Edge;

/// The table with its defaults.
pub(super) fn check(written: Option<Written>, reporter: &mut Reporter) -> Edge {
    let default = Edge::default();
    let drain = written.and_then(|edge| edge.drain_timeout);
    Edge {
        drain_timeout: units::duration("drain_timeout", drain.as_ref(), default.drain_timeout, reporter),
    }
}
