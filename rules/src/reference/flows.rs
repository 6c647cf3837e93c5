//! The oracle's memory of flows: section 10 of `docs/semantics.md`.
//!
//! A list of conversations, looked through from the start. What a TCP connection is to the host is written out as the page has
//! it, with the numbers of 32 bits as they are.

use std::net::IpAddr;
use std::time::Duration;

use ravelin_datapath::{Origin, Reason, Verdict};

use super::limits::{self, Limits};
use super::{Decided, Facts, Scene, Upper, cookies, quotation, walk};
use crate::policy::{Direction, HostFacts, Policy};

/// What is remembered of the frames so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Flows {
    known: Vec<Known>,
    /// Counts the policies that there were.
    policies: u32,
    /// Who has just completed a connection that it opened.
    completed: Option<IpAddr>,
}

#[derive(Clone, Debug)]
struct Known {
    talk: Talk,
    opened: Direction,
    last: u64,
    under: u32,
    state: State,
}

/// Who talks with whom, seen from the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Talk {
    local: IpAddr,
    remote: IpAddr,
    protocol: u8,
    about: About,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    Ports { local: u16, remote: u16 },
    Echo { identifier: u16, asked: Direction },
    Anything,
}

#[derive(Clone, Debug)]
enum State {
    Tcp(Connection),
    Other { local_spoke: bool, remote_spoke: bool },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Established,
    Closing,
}

#[derive(Clone, Debug)]
struct Connection {
    phase: Phase,
    /// The number behind the last that the host sent.
    next: Option<u32>,
    /// What the host acknowledged last.
    acknowledged: Option<u32>,
    host_finished: bool,
    /// The number behind the other host's FIN.
    fin: Option<u32>,
    fin_taken: bool,
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

impl Flows {
    /// From now on another policy judges, or the same one with other sets.
    pub(super) fn new_policy(&mut self) {
        self.policies += 1;
    }

    pub(super) fn judge(
        &mut self,
        limits: &mut Limits,
        policy: &Policy,
        host: &HostFacts,
        packet: limits::Packet<'_>,
        facts: &Facts,
    ) -> Decided {
        let limits::Packet {
            direction, origin, ..
        } = packet;
        let scene = Scene::of(host, direction, origin);
        let talk = if policy.keeps_flows() {
            Talk::of(facts, direction)
        } else {
            None
        };
        if let Some(talk) = &talk
            && !opens(facts)
            && self.passes(policy, host, direction, origin, facts, talk)
        {
            if let Some(completed) = self.completed.take() {
                limits.know(policy, completed);
            }
            return Decided::allow(Reason::Flow);
        }
        let mut decided = walk::by_rules(policy, &scene, facts);
        if decided.verdict == Verdict::Allow
            && let Some(reason) = limits.over(policy, &decided, packet, facts)
        {
            decided.verdict = Verdict::Deny;
            decided.reason = match reason {
                Reason::SynBudget if cookies::answers(policy, host, packet, facts) => Reason::SynCookie,
                reason => reason,
            };
        }
        if let Some(talk) = talk
            && decided.verdict == Verdict::Allow
            && keeps(policy, &decided)
        {
            let completes = cookies::brings_one_back(policy, host, packet, facts);
            if completes {
                limits.know(policy, talk.remote);
            }
            self.open(policy, direction, origin.tick, facts, talk, completes);
        }
        decided
    }

    /// Whether the packet that an ICMP error quotes was sent by whom the error goes to, in a flow that is there.
    pub(super) fn sent_what_is_quoted(&self, policy: &Policy, now: u64, facts: &Facts) -> bool {
        let Some(quoted) = facts.quoted.as_deref() else {
            return false;
        };
        let Some(talk) = Talk::of(quoted, Direction::Outbound) else {
            return false;
        };
        let mut known = self.known.iter();
        facts.destination == quoted.source
            && !facts.in_parts
            && known.any(|known| known.talk == talk && !known.is_over(policy, now))
    }

    fn passes(
        &mut self,
        policy: &Policy,
        host: &HostFacts,
        direction: Direction,
        origin: Origin,
        facts: &Facts,
        talk: &Talk,
    ) -> bool {
        let policies = self.policies;
        let there = |known: &Known| known.talk == *talk && !known.is_over(policy, origin.tick);
        let Some(at) = self.known.iter().position(there) else {
            return false;
        };
        let known = &mut self.known[at];
        if known.under != policies {
            let scene = Scene::of(host, known.opened, origin);
            let again = walk::by_rules(policy, &scene, &known.talk.first(known.opened));
            if again.verdict == Verdict::Deny || !keeps(policy, &again) {
                self.known.remove(at);
                return false;
            }
            known.under = policies;
        }
        let before = known.is_established();
        known.meet(direction, origin.tick, facts);
        if !before && known.is_established() && known.opened == Direction::Inbound {
            self.completed = Some(talk.remote);
        }
        true
    }

    /// `completes`: what opens it is the end of a handshake of which nothing was remembered.
    fn open(
        &mut self,
        policy: &Policy,
        direction: Direction,
        now: u64,
        facts: &Facts,
        talk: Talk,
        completes: bool,
    ) {
        let at = self.known.iter().position(|known| known.talk == talk);
        let state = match facts.upper {
            Some(Upper::Tcp {
                flags,
                sequence,
                acknowledged,
                payload,
                ..
            }) => {
                if flags & RST != 0 || flags & SYN != 0 && flags & ACK != 0 {
                    return;
                }
                let alive = |known: &Known| match &known.state {
                    _ if known.is_over(policy, now) => false,
                    State::Tcp(connection) => connection.phase != Phase::Closing,
                    State::Other { .. } => true,
                };
                if direction == Direction::Inbound
                    && flags & SYN != 0
                    && at.is_some_and(|at| alive(&self.known[at]))
                {
                    return;
                }
                let outbound = direction == Direction::Outbound;
                State::Tcp(Connection {
                    phase: if completes || outbound && flags & SYN == 0 {
                        Phase::Established
                    } else {
                        Phase::Opening
                    },
                    next: if completes {
                        Some(acknowledged)
                    } else {
                        outbound.then(|| behind(sequence, payload, flags))
                    },
                    acknowledged: if completes {
                        Some(sequence)
                    } else {
                        (outbound && flags & ACK != 0).then_some(acknowledged)
                    },
                    host_finished: outbound && flags & FIN != 0,
                    fin: None,
                    fin_taken: false,
                })
            }
            _ => State::Other {
                local_spoke: direction == Direction::Outbound,
                remote_spoke: direction == Direction::Inbound,
            },
        };
        if let Some(at) = at {
            self.known.remove(at);
        }
        self.known.push(Known {
            talk,
            opened: direction,
            last: now,
            under: self.policies,
            state,
        });
    }
}

impl Known {
    /// Whether it was idle for too long.
    fn is_over(&self, policy: &Policy, now: u64) -> bool {
        now.saturating_sub(self.last) >= self.limit(policy)
    }

    /// How long it may be idle, in nanoseconds.
    fn limit(&self, policy: &Policy) -> u64 {
        let timeouts = policy.firewall.flow_timeouts;
        let limit: Duration = match (&self.state, &self.talk.about) {
            (State::Tcp(connection), _) if connection.phase == Phase::Established => timeouts.tcp,
            (State::Tcp(_), _) => timeouts.tcp_short,
            (State::Other { .. }, About::Echo { .. }) => timeouts.icmp,
            (
                State::Other {
                    local_spoke: true,
                    remote_spoke: true,
                },
                _,
            ) => timeouts.udp_both,
            (State::Other { .. }, _) => timeouts.udp,
        };
        u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether it is a TCP connection that is there.
    fn is_established(&self) -> bool {
        matches!(&self.state, State::Tcp(connection) if connection.phase == Phase::Established)
    }

    /// A packet of it has passed.
    fn meet(&mut self, direction: Direction, now: u64, facts: &Facts) {
        match (&mut self.state, facts.upper) {
            (
                State::Other {
                    local_spoke,
                    remote_spoke,
                },
                _,
            ) => {
                match direction {
                    Direction::Inbound => *remote_spoke = true,
                    Direction::Outbound => *local_spoke = true,
                }
                self.last = now;
            }
            (
                State::Tcp(connection),
                Some(Upper::Tcp {
                    flags,
                    sequence,
                    acknowledged,
                    payload,
                    ..
                }),
            ) => {
                let segment = Segment {
                    flags,
                    sequence,
                    acknowledged,
                    payload,
                };
                let active = match direction {
                    Direction::Outbound => connection.host_sends(&segment),
                    Direction::Inbound => connection.host_receives(&segment, self.opened),
                };
                if active {
                    self.last = now;
                }
            }
            (State::Tcp(_), _) => {}
        }
    }
}

struct Segment {
    flags: u8,
    sequence: u32,
    acknowledged: u32,
    payload: usize,
}

impl Segment {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn behind(&self) -> u32 {
        behind(self.sequence, self.payload, self.flags)
    }
}

impl Connection {
    /// Says whether the packet counts as activity.
    fn host_sends(&mut self, segment: &Segment) -> bool {
        if segment.has(RST) {
            if self.next.is_none_or(|next| segment.sequence == next) {
                self.phase = Phase::Closing;
            }
            return false;
        }
        self.next = Some(later(self.next, segment.behind()));
        if segment.has(ACK) {
            self.acknowledged = Some(later(self.acknowledged, segment.acknowledged));
            self.fin_taken |= self.fin == Some(segment.acknowledged);
        }
        self.host_finished |= segment.has(FIN);
        if self.host_finished && self.fin_taken {
            self.phase = Phase::Closing;
        } else if !segment.has(SYN) {
            self.phase = Phase::Established;
        }
        true
    }

    /// The same.
    fn host_receives(&mut self, segment: &Segment, opened: Direction) -> bool {
        let answers = segment.has(ACK) && self.next == Some(segment.acknowledged);
        let opening = self.phase == Phase::Opening;
        if segment.has(RST) {
            let refused = opening && opened == Direction::Outbound && answers;
            if self.acknowledged == Some(segment.sequence) || refused {
                self.phase = Phase::Closing;
            }
            return false;
        }
        if segment.has(FIN) {
            self.fin = Some(segment.behind());
        }
        if opening && opened == Direction::Inbound && answers && !segment.has(SYN) {
            self.phase = Phase::Established;
            return true;
        }
        false
    }
}

/// A TCP packet that opens a connection: rules judge it, whatever flows there are.
pub(crate) fn opens(facts: &Facts) -> bool {
    matches!(facts.upper, Some(Upper::Tcp { flags, .. }) if flags & SYN != 0 && flags & ACK == 0)
}

/// Whether some flow could let the packet through.
pub(crate) fn may_go_on(policy: &Policy, facts: &Facts, direction: Direction) -> bool {
    let matched = direction == Direction::Inbound && quotation::is_asked_for(policy) && !facts.in_parts;
    !opens(facts) && Talk::of(facts, direction).is_some() || matched && quotation::is_error(facts)
}

impl Talk {
    fn of(facts: &Facts, direction: Direction) -> Option<Self> {
        let about = match facts.upper {
            Some(
                Upper::Tcp {
                    source, destination, ..
                }
                | Upper::Udp { source, destination }
                | Upper::Sctp { source, destination },
            ) => match direction {
                Direction::Inbound => About::Ports {
                    local: destination,
                    remote: source,
                },
                Direction::Outbound => About::Ports {
                    local: source,
                    remote: destination,
                },
            },
            Some(
                Upper::Icmp {
                    kind: 8,
                    code: 0,
                    identifier,
                }
                | Upper::Icmpv6 {
                    kind: 128,
                    code: 0,
                    identifier,
                },
            ) => About::Echo {
                identifier,
                asked: direction,
            },
            Some(
                Upper::Icmp {
                    kind: 0,
                    code: 0,
                    identifier,
                }
                | Upper::Icmpv6 {
                    kind: 129,
                    code: 0,
                    identifier,
                },
            ) => About::Echo {
                identifier,
                asked: match direction {
                    Direction::Inbound => Direction::Outbound,
                    Direction::Outbound => Direction::Inbound,
                },
            },
            Some(Upper::Icmp { .. } | Upper::Icmpv6 { .. }) => return None,
            // A fragment of a protocol whose header says more.
            None => match (facts.source, facts.protocol) {
                (_, 6 | 17 | 132) | (IpAddr::V4(_), 1) | (IpAddr::V6(_), 58) => return None,
                _ => About::Anything,
            },
        };
        let (local, remote) = match direction {
            Direction::Inbound => (facts.destination, facts.source),
            Direction::Outbound => (facts.source, facts.destination),
        };
        Some(Self {
            local,
            remote,
            protocol: facts.protocol,
            about,
        })
    }

    /// What its first packet was to rules: in TCP, a SYN.
    fn first(&self, opened: Direction) -> Facts {
        let (source, destination) = match opened {
            Direction::Inbound => (self.remote, self.local),
            Direction::Outbound => (self.local, self.remote),
        };
        let upper = match self.about {
            About::Ports { local, remote } => {
                let (source, destination) = match opened {
                    Direction::Inbound => (remote, local),
                    Direction::Outbound => (local, remote),
                };
                Some(match self.protocol {
                    6 => Upper::Tcp {
                        source,
                        destination,
                        flags: SYN,
                        sequence: 0,
                        acknowledged: 0,
                        payload: 0,
                    },
                    17 => Upper::Udp { source, destination },
                    _ => Upper::Sctp { source, destination },
                })
            }
            About::Echo { identifier, .. } => Some(match self.local {
                IpAddr::V4(_) => Upper::Icmp {
                    kind: 8,
                    code: 0,
                    identifier,
                },
                IpAddr::V6(_) => Upper::Icmpv6 {
                    kind: 128,
                    code: 0,
                    identifier,
                },
            }),
            About::Anything => None,
        };
        Facts {
            source,
            destination,
            protocol: self.protocol,
            hop_limit: 0,
            upper,
            in_parts: false,
            quoted: None,
        }
    }
}

/// Whether the flow of a packet with this decision is kept.
fn keeps(policy: &Policy, decided: &Decided) -> bool {
    match decided.rule.and_then(|index| policy.rules.get(index as usize)) {
        Some(rule) => rule.stateful,
        None => policy.firewall.stateful,
    }
}

fn behind(sequence: u32, payload: usize, flags: u8) -> u32 {
    let counted = payload + usize::from(flags & SYN != 0) + usize::from(flags & FIN != 0);
    // No packet has so many bytes that they do not fit.
    sequence.wrapping_add(u32::try_from(counted).unwrap_or(u32::MAX))
}

/// The later of two numbers, on the circle.
fn later(known: Option<u32>, new: u32) -> u32 {
    match known {
        Some(known) if new.wrapping_sub(known) == 0 || new.wrapping_sub(known) >= 1 << 31 => known,
        _ => new,
    }
}
