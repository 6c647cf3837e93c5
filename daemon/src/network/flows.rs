//! The flow tables: two maps that all generations share, of which a policy without flows has only the names.

use ravelin_datapath::wire::{FLOWS, Setting, Settings};

/// Flows whose both ends are there.
pub const SETTLED: &str = "FLOWS_SETTLED";
/// Flows of which one end has spoken.
pub const OPENING: &str = "FLOWS_OPENING";

/// How many flows each table of a generation with these settings holds. The kernel makes the maps of an object whether its programs
/// use them or not, and takes the memory for all elements at once.
#[must_use]
pub fn room(settings: &Settings) -> u32 {
    if settings.of(Setting::FlowsUsed) == 0 {
        1
    } else {
        FLOWS
    }
}
