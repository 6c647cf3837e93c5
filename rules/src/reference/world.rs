//! What the packets before, and people, have left: flows, fragments, buckets and bans, and the judgement by all of them.

use std::rc::Rc;

use ravelin_datapath::{Decision, Origin, Reason, Verdict};

use super::flows::Flows;
use super::fragments::Fragments;
use super::limits::{self, Limits};
use super::{Ban, Decided, Examination, HostTcp, Walk, bans};
use crate::policy::{Direction, HostFacts, Policy};

/// A host to which packets come, one after another.
#[derive(Clone, Debug, Default)]
pub struct World {
    flows: Flows,
    fragments: Fragments,
    limits: Limits,
    bans: Vec<Ban>,
    tcp: Option<Rc<dyn HostTcp>>,
}

impl World {
    /// With these bans, and no packet yet.
    #[must_use]
    pub fn with_bans(bans: Vec<Ban>) -> Self {
        Self {
            bans,
            ..Self::default()
        }
    }

    /// Whose TCP makes cookies, and no packet yet.
    #[must_use]
    pub fn with_tcp(tcp: Rc<dyn HostTcp>) -> Self {
        Self {
            tcp: Some(tcp),
            ..Self::default()
        }
    }

    /// For one packet by itself: buckets are not asked.
    pub(super) fn alone() -> Self {
        Self {
            limits: Limits::not_asked(),
            ..Self::default()
        }
    }

    /// These are the bans, from now on.
    pub fn set_bans(&mut self, bans: Vec<Ban>) {
        self.bans = bans;
    }

    /// From now on another policy judges, or the same one with other sets.
    pub fn new_policy(&mut self) {
        self.flows.new_policy();
    }

    /// Judges one Ethernet frame, which leaves what it leaves. Never panics, whatever the bytes are.
    #[must_use]
    pub fn judge(
        &mut self,
        policy: &Policy,
        host: &HostFacts,
        direction: Direction,
        origin: Origin,
        frame: &[u8],
    ) -> Decision {
        self.examine(policy, host, direction, origin, frame).decision
    }

    pub(super) fn examine(
        &mut self,
        policy: &Policy,
        host: &HostFacts,
        direction: Direction,
        origin: Origin,
        frame: &[u8],
    ) -> Examination {
        let mut walk = Walk::of(policy, host, direction, origin, &mut self.fragments);
        let (decided, facts) = match walk.up_to_rules(&self.flows, origin.loopback, frame) {
            Ok(facts) => {
                let decided = if bans::deny(policy, &walk.scene, &self.bans, origin.now, facts.source) {
                    Decided::because(Verdict::Deny, Reason::Ban)
                } else if walk.follows {
                    Decided::allow(Reason::FragmentLater)
                } else if walk.quotes_flow {
                    Decided::allow(Reason::Flow)
                } else {
                    let packet = limits::Packet {
                        direction,
                        origin,
                        frame,
                        tcp: self.tcp.as_deref(),
                    };
                    self.flows.judge(&mut self.limits, policy, host, packet, &facts)
                };
                (decided, Some(facts))
            }
            Err(decided) => (decided, None),
        };
        if let Some((datagram, judged)) = walk.first.take()
            && policy.keeps_flows()
        {
            walk.fragments
                .first(datagram, origin.tick, decided.verdict, judged);
        }
        Examination {
            decision: decided.with(walk.seen),
            facts,
        }
    }
}
