//! One packet's judgement, from bytes to decision, in the order of `docs/semantics.md`.
//!
//! Frame → **parse → essentials → flows → classify → limits → cookies** → Decision. Every step may end the judgement: steps return a [`Step`], and
//! `?` carries an early decision out.

use core::ops::ControlFlow;

use crate::classify::{Classes, FirstMatch, Found};
use crate::flow::{self, Claim, Followed, Memory, Passage};
use crate::limit::{Draw, Drawn};
use crate::packet::{Address, Fragment, Packet};
use crate::wire::{self, InterfaceEntry, Plane, RuleEntry, Setting};
use crate::{
    Bans, ClassSet, ClassVerdict, Frame, ParseClass, Reason, Tables, Verdict, ban, classify, essentials,
    parse,
};

/// Where and when a frame came in, or goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The loopback interface.
    pub loopback: bool,
    /// The interface, by the kernel's number.
    pub interface: u32,
    /// Nanoseconds since boot, suspended time counted. Zero when the tables ask for no time.
    pub now: u64,
    /// The clock of flows: nanoseconds since boot, suspended time not counted, of a few milliseconds' resolution. Zero when the
    /// tables keep no flows and limit nothing.
    pub tick: u64,
}

/// What was decided, with what the kernel needs to count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What happens to the packet.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The rule that decided, if one did.
    pub rule: Matched,
    /// The first rule in observe mode that matched before the decision fell.
    pub observed: Matched,
}

/// Who is told of the parse classes seen on the way.
///
/// Told at once, not collected: a set carried along would be part of every state that the verifier walks, and multiply
/// them by each class that a packet can or cannot have.
pub trait Witness {
    /// The packet is of this class.
    fn see(&mut self, class: ParseClass);
}

impl Witness for ClassSet {
    fn see(&mut self, class: ParseClass) {
        *self = self.with(class);
    }
}

/// A rule that matched, or none. Not an `Option`: the unused bytes of `None` would be registers that the verifier has never
/// seen written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    found: FirstMatch,
    /// A [`RuleEntry`], when a rule was found.
    word: u32,
}

impl Matched {
    const NONE: Self = Self {
        found: FirstMatch::NONE,
        word: 0,
    };

    /// The rule's index in the order of judgement.
    #[inline(always)]
    #[must_use]
    pub const fn rule(self) -> Option<u32> {
        self.found.index()
    }

    /// What the rule does, and where it counts.
    #[inline(always)]
    #[must_use]
    pub const fn entry(self) -> Option<RuleEntry> {
        match self.found.index() {
            Some(_) => Some(RuleEntry::unpack(self.word)),
            None => None,
        }
    }
}

/// Go on with a value, or end with a decision.
pub(crate) type Step<T> = ControlFlow<End, T>;

/// An early end of the judgement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) verdict: Verdict,
    pub(crate) reason: Reason,
    pub(crate) rule: Matched,
    pub(crate) observed: Matched,
}

impl End {
    #[inline(always)]
    pub(crate) const fn because(verdict: Verdict, reason: Reason) -> Self {
        Self {
            verdict,
            reason,
            rule: Matched::NONE,
            observed: Matched::NONE,
        }
    }
}

/// One judgement: what it asks, and whom it tells.
pub(crate) struct Judge<'t, T, W> {
    pub(crate) tables: &'t T,
    witness: &'t mut W,
    origin: Origin,
    /// Where the packet came in, as the tables know it.
    interface: InterfaceEntry,
}

/// Judges one frame.
#[inline(always)]
pub fn judge<T: Tables>(
    frame: &impl Frame,
    tables: &T,
    bans: &impl Bans,
    memory: &impl Memory,
    origin: Origin,
    witness: &mut impl Witness,
) -> Judgement {
    let mut judge = Judge {
        tables,
        witness,
        origin,
        interface: InterfaceEntry::default(),
    };
    let ControlFlow::Break(End {
        verdict,
        reason,
        rule,
        observed,
    }) = judge.run(frame, bans, memory);
    Judgement {
        verdict,
        reason,
        rule,
        observed,
    }
}

impl<T: Tables, W: Witness> Judge<'_, T, W> {
    #[inline(always)]
    fn run(
        &mut self,
        frame: &impl Frame,
        bans: &impl Bans,
        memory: &impl Memory,
    ) -> Step<core::convert::Infallible> {
        if self.origin.loopback && self.essentials() {
            return allow(Reason::Loopback);
        }
        self.interface = self.found(classify::interface(self.tables, self.origin.interface))?;
        let (ether_type, start) = parse::ethernet(self, frame)?;
        match ether_type {
            parse::IPV4 => {
                let (packet, class) = parse::ipv4(self, frame, start)?;
                self.packet::<{ Plane::V4 as u8 }>(frame, &packet, class, bans, memory)
            }
            parse::IPV6 => {
                let (packet, class) = parse::ipv6(self, frame, start)?;
                self.packet::<{ Plane::V6 as u8 }>(frame, &packet, class, bans, memory)
            }
            parse::ARP if self.essentials() => allow(Reason::Arp),
            _ => self.end(ParseClass::NonIp),
        }
    }

    /// Counts a class and looks at its declared verdict: go on when it is `judge`.
    #[inline(always)]
    pub(crate) fn see(&mut self, class: ParseClass) -> Step<()> {
        if self.declared(class) == ClassVerdict::Judge as u32 {
            self.witness.see(class);
            return Step::Continue(());
        }
        self.end(class)
    }

    /// Counts a class that leaves nothing to judge, and ends with its declared verdict.
    #[inline(always)]
    pub(crate) fn end<V>(&mut self, class: ParseClass) -> Step<V> {
        self.witness.see(class);
        let allowed = self.declared(class) == ClassVerdict::Allow as u32;
        let verdict = if allowed { Verdict::Allow } else { Verdict::Deny };
        Step::Break(End::because(verdict, Reason::from(class)))
    }

    #[inline(always)]
    fn declared(&self, class: ParseClass) -> u32 {
        let (setting, shift) = wire::class_bits(class);
        self.tables.setting(setting) >> shift & 3
    }

    #[inline(always)]
    fn found<V>(&self, value: Option<V>) -> Step<V> {
        match value {
            Some(value) => Step::Continue(value),
            None => fault(),
        }
    }

    #[inline(always)]
    fn essentials(&self) -> bool {
        self.tables.setting(Setting::Essentials) != 0
    }

    /// The source's class, without its marks; a source that cannot come from the wire is seen as such.
    #[inline(always)]
    pub(crate) fn source<const PLANE: u8>(&mut self, address: Address) -> Step<u32> {
        let class = self.found(classify::source::<PLANE, T>(self.tables, address))?;
        let spoofed = self.found(classify::spoofed::<PLANE>(
            self.tables,
            class,
            self.interface.zone,
        ))?;
        if spoofed {
            self.see(ParseClass::SpoofedSource)?;
        }
        Step::Continue(class.number())
    }

    /// What is asked about a packet that is parsed, and about those that come behind it.
    #[inline(always)]
    fn packet<const PLANE: u8>(
        &mut self,
        frame: &impl Frame,
        packet: &Packet,
        source_class: u32,
        bans: &impl Bans,
        memory: &impl Memory,
    ) -> Step<core::convert::Infallible> {
        let mut follows = false;
        if self.remembers() && packet.fragment.is_later() {
            memory.claim(|| Claim::of_fragment(packet, self.outbound(), self.origin));
            match memory.follow() {
                Followed::Unknown => self.see(ParseClass::FragmentOrphan)?,
                Followed::Allowed => follows = true,
                Followed::Denied => {
                    return Step::Break(End::because(Verdict::Deny, Reason::FragmentLater));
                }
            }
        }
        let unspecified = PLANE == Plane::V6 as u8 && packet.source.high == 0 && packet.source.low == 0;
        if unspecified && !self.outbound() && !essentials::may_lack_source(packet) {
            self.see(ParseClass::SpoofedSource)?;
        }
        let fragment = if self.remembers() {
            packet.fragment.forgotten(frame)
        } else {
            Fragment::WHOLE
        };
        // In one place: what stands here is all that is asked, and the verifier walks each copy.
        let ControlFlow::Break(end) = self.asked::<PLANE>(frame, packet, source_class, follows, bans, memory);
        if self.remembers() && fragment.is_first() {
            let packet = Packet { fragment, ..*packet };
            memory.claim(|| Claim::of_fragment(&packet, self.outbound(), self.origin));
            memory.first(flow::is_denied(end.verdict));
        }
        Step::Break(end)
    }

    /// What is asked about a packet that is parsed.
    #[inline(always)]
    fn asked<const PLANE: u8>(
        &self,
        frame: &impl Frame,
        packet: &Packet,
        source_class: u32,
        follows: bool,
        bans: &impl Bans,
        memory: &impl Memory,
    ) -> Step<core::convert::Infallible> {
        let outbound = self.outbound();
        let quoted = self.matches_errors()
            && packet.upper.quotation.is_there()
            && memory.quoted::<PLANE>(
                frame,
                packet.upper.quotation,
                packet.destination,
                self.origin.tick,
            );
        if self.essentials()
            && let Some(reason) = essentials::matching(packet, outbound, quoted || !self.matches_errors())
        {
            return allow(reason);
        }
        if self.tables.setting(Setting::Bans) != 0 && ban::banned::<PLANE>(bans, packet.source) {
            return Step::Break(End::because(Verdict::Deny, Reason::Ban));
        }
        if follows {
            return allow(Reason::FragmentLater);
        }
        if quoted {
            return allow(Reason::Flow);
        }
        let claims = self.tables.setting(Setting::FlowsUsed) != 0
            && match flow::ends(packet, outbound) {
                Some(ends) => {
                    memory.claim(|| Claim::of(packet, ends, outbound, self.origin));
                    true
                }
                None => false,
            };
        if claims && !flow::opens_connection(packet) {
            match flow::ask::<PLANE>(memory) {
                Passage::Granted => return allow(Reason::Flow),
                Passage::Unknown => {}
                _ => return fault(),
            }
        }
        let context = self.found(classify::context(
            self.tables,
            self.interface.class,
            self.origin.now,
        ))?;
        let Found { decided, observed } = self.found(classify::first_match::<PLANE>(
            self.tables,
            packet,
            source_class,
            context,
        ))?;
        let observed = self.found(matched(self.tables, observed))?;
        let rule = self.found(matched(self.tables, decided))?;
        let said = Said::of(self.tables, rule);
        let (verdict, reason) = match self.drawn(frame, packet, said, memory) {
            Drawn::Granted => {
                if claims && let Some(rule) = said.kept() {
                    // Its flags are in its claim: a register that lives up to here would keep paths apart that are one.
                    if self.proxies() {
                        memory.prove(frame);
                    }
                    self.found(memory.open(rule))?;
                }
                let reason = match rule.entry() {
                    Some(_) => Reason::Rule,
                    None => Reason::Default,
                };
                (said.verdict, reason)
            }
            Drawn::OverLimit => (Verdict::Deny, Reason::Limit),
            Drawn::OverBudget => {
                let answered =
                    self.proxies() && self.tables.setting(Setting::Enforce) != 0 && memory.answer(frame);
                let reason = if answered {
                    Reason::SynCookie
                } else {
                    Reason::SynBudget
                };
                (Verdict::Deny, reason)
            }
            Drawn::Fault => return fault(),
        };
        Step::Break(End {
            verdict,
            reason,
            rule,
            observed,
        })
    }

    /// What the buckets say to a packet that is allowed, where it takes from any.
    #[inline(always)]
    fn drawn(&self, frame: &impl Frame, packet: &Packet, said: Said, memory: &impl Memory) -> Drawn {
        let limit = if self.tables.setting(Setting::LimitsUsed) != 0 {
            said.limit
        } else {
            0
        };
        let syn = self.tables.setting(Setting::SynBudgetUsed) != 0 && flow::opens_connection(packet);
        if limit == 0 && !syn || matches!(said.verdict, Verdict::Deny) {
            return Drawn::Granted;
        }
        memory.draw(|| Draw {
            tick: self.origin.tick,
            high: packet.source.high,
            low: packet.source.low,
            plane: packet.plane as u32,
            // No frame has so many bytes that they do not fit.
            length: u32::try_from(frame.length()).unwrap_or(u32::MAX),
            limit,
            slot: said.rule.wrapping_sub(1),
            syn: syn.into(),
            interface: self.origin.interface,
        })
    }

    /// Whether the host's TCP is asked for cookies.
    #[inline(always)]
    fn proxies(&self) -> bool {
        self.tables.setting(Setting::SynProxyUsed) != 0
    }

    /// Whether packets are judged by what came before them.
    #[inline(always)]
    pub(crate) fn remembers(&self) -> bool {
        self.tables.setting(Setting::FlowsUsed) != 0
    }

    /// Whether ICMP errors are matched by the packet that they quote.
    #[inline(always)]
    pub(crate) fn matches_errors(&self) -> bool {
        self.tables.setting(Setting::ErrorsMatched) != 0
    }

    #[inline(always)]
    fn outbound(&self) -> bool {
        self.tables.setting(Setting::Outbound) != 0
    }
}

/// What the rule that decides says, or the default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    verdict: Verdict,
    stateful: bool,
    /// How a flow remembers the rule: its counter slot plus one, or 0.
    rule: u32,
    /// The number of its limit, or 0.
    limit: u32,
}

impl Said {
    #[inline(always)]
    fn of(tables: &impl Tables, rule: Matched) -> Self {
        match rule.entry() {
            Some(entry) => Self {
                verdict: entry.verdict,
                stateful: entry.stateful,
                rule: entry.slot + 1,
                limit: entry.limit,
            },
            None => Self {
                verdict: wire::verdict(tables.setting(Setting::Default)),
                stateful: tables.setting(Setting::DefaultStateful) != 0,
                rule: 0,
                limit: 0,
            },
        }
    }

    /// The rule, when the packet is allowed and its flow kept.
    #[inline(always)]
    pub(crate) fn kept(self) -> Option<u32> {
        (self.stateful && matches!(self.verdict, Verdict::Allow)).then_some(self.rule)
    }
}

/// The classes of a packet that was judged before. `None` when a table is broken.
#[inline(always)]
pub(crate) fn classes_again<const PLANE: u8>(
    tables: &impl Tables,
    packet: &Packet,
    interface: u32,
    now: u64,
) -> Option<Classes> {
    let interface = classify::interface(tables, interface)?;
    let context = classify::context(tables, interface.class, now)?;
    let source = classify::source::<PLANE, _>(tables, packet.source)?;
    classify::classes::<PLANE>(tables, packet, source.number(), context)
}

/// What tables say of a packet of these classes. `None` when one is broken.
#[inline(always)]
pub(crate) fn said_again<const PLANE: u8>(tables: &impl Tables, classes: Classes) -> Option<Said> {
    let first = classify::combined::<PLANE>(tables, classes)?;
    Some(Said::of(tables, matched(tables, first.decided)?))
}

/// The rule of a match, with its entry.
#[inline(always)]
fn matched(tables: &impl Tables, found: FirstMatch) -> Option<Matched> {
    let Some(rule) = found.index() else {
        return Some(Matched::NONE);
    };
    let rules = tables.setting(Setting::Rules);
    let word = tables.word(rules.wrapping_add(rule))?;
    Some(Matched { found, word })
}

/// A lookup that left its table: a bug, and never an open door.
#[inline(always)]
const fn fault<T>() -> Step<T> {
    Step::Break(End::because(Verdict::Deny, Reason::TableFault))
}

#[inline(always)]
const fn allow<T>(reason: Reason) -> Step<T> {
    Step::Break(End::because(Verdict::Allow, reason))
}
