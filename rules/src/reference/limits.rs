//! The oracle's buckets: section 12 of `docs/semantics.md`.
//!
//! A list of buckets, each a number of tokens in the smallest part that its rate makes of one: `1/per` of a token with `per` in nanoseconds.

use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_datapath::wire::Measure;
use ravelin_datapath::{Origin, Reason};

use super::flows::opens;
use super::{Decided, Facts, HostTcp};
use crate::policy::{Direction, Limit, Policy};

/// What was taken, and who is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    buckets: Vec<Bucket>,
    known: Vec<IpNet>,
    not_asked: bool,
}

#[derive(Clone, Debug)]
struct Bucket {
    whose: Whose,
    /// The limit as it was when the bucket began: one with other numbers begins anew.
    limit: Limit,
    parts: u128,
    at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    /// Of a rule, by its name, and of a source unless all share it.
    Rule(String, Option<IpNet>),
    /// The budget of an interface.
    Interface(u32),
}

/// A packet, as far as limits ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) direction: Direction,
    pub(super) origin: Origin,
    /// All of it.
    pub(super) frame: &'a [u8],
    /// Who makes cookies; `None`: nobody.
    pub(super) tcp: Option<&'a dyn HostTcp>,
}

impl Limits {
    /// None, for who judges a packet by itself.
    pub(super) fn not_asked() -> Self {
        Self {
            not_asked: true,
            ..Self::default()
        }
    }

    /// A connection that this source opened was completed.
    pub(super) fn know(&mut self, policy: &Policy, source: IpAddr) {
        let source = prefix(source, 32, 64);
        if policy.remembers_sources() && !self.known.contains(&source) {
            self.known.push(source);
        }
    }

    /// Why a packet is denied that rules allow: `None` when it is not.
    pub(super) fn over(
        &mut self,
        policy: &Policy,
        decided: &Decided,
        packet: Packet<'_>,
        facts: &Facts,
    ) -> Option<Reason> {
        if self.not_asked {
            return None;
        }
        let rule = decided.rule.and_then(|index| policy.rules.get(index as usize));
        if let Some((rule, limit)) = rule.and_then(|rule| Some((rule, rule.limit?))) {
            let source = limit
                .sources
                .map(|lengths| prefix(facts.source, lengths.v4, lengths.v6));
            let whose = Whose::Rule(rule.name.to_string(), source);
            let tokens = match limit.measure {
                Measure::Bytes => packet.frame.len(),
                Measure::Packets | Measure::NewFlows => 1,
            };
            if !self.take(whose, limit, packet.origin.tick, tokens) {
                return Some(Reason::Limit);
            }
        }
        let budget = policy.flood.syn_budget?;
        let known = policy.remembers_sources() && self.known.contains(&prefix(facts.source, 32, 64));
        if packet.direction == Direction::Inbound
            && opens(facts)
            && !known
            && !self.take(
                Whose::Interface(packet.origin.interface),
                budget,
                packet.origin.tick,
                1,
            )
        {
            return Some(Reason::SynBudget);
        }
        None
    }

    fn take(&mut self, whose: Whose, limit: Limit, now: u64, tokens: usize) -> bool {
        let per = limit.rate.per.as_nanos();
        let full = u128::from(limit.burst) * per;
        let same = |bucket: &Bucket| bucket.whose == whose && bucket.limit == limit;
        let at = self.buckets.iter().position(same).unwrap_or_else(|| {
            self.buckets.push(Bucket {
                whose: whose.clone(),
                limit,
                parts: full,
                at: now,
            });
            self.buckets.len() - 1
        });
        let bucket = &mut self.buckets[at];
        let earned = u128::from(now - bucket.at) * u128::from(limit.rate.count);
        bucket.parts = full.min(bucket.parts + earned);
        bucket.at = now;
        let cost = tokens as u128 * per;
        let there = bucket.parts >= cost;
        if there {
            bucket.parts -= cost;
        }
        there
    }
}

fn prefix(address: IpAddr, v4: u8, v6: u8) -> IpNet {
    let length = if address.is_ipv4() { v4 } else { v6 };
    // Of a length that its family does not have, which `check` refuses, the whole address.
    IpNet::new(address, length).map_or_else(|_| IpNet::from(address), |prefix| prefix.trunc())
}
