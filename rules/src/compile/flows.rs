//! What the tables say of flows: whether they are kept, and for how long.

use std::time::Duration;

use ravelin_datapath::wire::{Setting, Settings};

use super::CompileError;
use super::words::Words;
use crate::Policy;
use crate::policy::Direction;

pub(super) fn write(
    policy: &Policy,
    direction: Direction,
    words: &mut Words,
    settings: &mut Settings,
) -> Result<(), CompileError> {
    if !policy.keeps_flows() {
        return Ok(());
    }
    settings.set(Setting::FlowsUsed, 1);
    settings.set(Setting::FlowEpoch, words.table(&[0])?);
    let errors = direction == Direction::Inbound && policy.matches_errors();
    settings.set(Setting::ErrorsMatched, errors.into());
    settings.set(Setting::DefaultStateful, policy.firewall.stateful.into());
    let timeouts = policy.firewall.flow_timeouts;
    for (setting, timeout) in [
        (Setting::FlowTcp, timeouts.tcp),
        (Setting::FlowTcpShort, timeouts.tcp_short),
        (Setting::FlowUdp, timeouts.udp),
        (Setting::FlowUdpBoth, timeouts.udp_both),
        (Setting::FlowIcmp, timeouts.icmp),
    ] {
        settings.set(setting, milliseconds(timeout));
    }
    Ok(())
}

/// At most 49 days.
fn milliseconds(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)
}
