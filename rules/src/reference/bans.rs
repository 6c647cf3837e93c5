//! Bans: section 11 of `docs/semantics.md`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Scene;
use crate::policy::{Direction, Policy};

/// A ban, and the nanosecond since boot at which it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Whom it covers.
    pub prefix: IpNet,
    /// When it is over.
    pub end: u64,
}

/// Whether section 11 denies a packet from `source`, `now` nanoseconds after boot.
pub(super) fn deny(policy: &Policy, scene: &Scene, bans: &[Ban], now: u64, source: IpAddr) -> bool {
    if scene.direction != Direction::Inbound || !policy.firewall.bans {
        return false;
    }
    let never = policy
        .never_ban
        .elements()
        .iter()
        .any(|element| element.prefix.contains(&source));
    let banned = bans
        .iter()
        .any(|ban| ban.prefix.contains(&source) && now < ban.end);
    banned && !never
}
