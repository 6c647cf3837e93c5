//! Flow state: what lets replies through. Section 10 of `docs/semantics.md`.
//!
//! Packet → **claim → flow** → pass, or go on to the rules; and from a rule that allowed it → a new flow. Whom this trusts decides what it
//! costs an attacker: what the *host* sends is its own, so it alone keeps a TCP flow alive, completes it and ends it. A packet
//! from the wire moves a TCP flow only when it names a number that nobody can guess (RFC 5961 asks the same of the host).

mod again;
mod claim;
mod fragment;
mod pass;
mod quote;
mod table;
mod tcp;

use core::cell::Cell;

use crate::cookie::{self, HostTcp};
use crate::hash_table::Lines;
use crate::limit::{self, Buckets, Draw, Drawn};
use crate::packet::{Address, Quotation};
use crate::wire::{FlowKey, FlowRecord, FlowTables, SourceKey};
use crate::{Frame, Tables};

pub use again::{Again, again, classes_again};
pub use claim::Claim;
pub(crate) use claim::{ends, opens_connection};
pub(crate) use fragment::is_denied;
pub use fragment::{Followed, first, follow};
pub use pass::{Passage, open, pass};
pub use quote::{is_live, quoted};
pub use table::{FlowTable, TableCell};

/// What a judgement remembers of the packets before: the seam between it and flows.
pub trait Memory {
    /// The packet of this judgement claims what `make` says; the other methods are about it. A function, so that it is made where it is
    /// kept: the kernel's stack is short.
    fn claim(&self, make: impl FnOnce() -> Claim);

    /// Whether its flow lets it through; see [`pass()`].
    fn pass(&self, again: Again) -> Passage;

    /// What the tables by which its flow was let in say of that now; see [`again()`].
    fn again<const PLANE: u8>(&self, by_remote: bool) -> Again;

    /// A rule has allowed it, and its flow is kept; see [`open`]. `None` when a table is broken.
    fn open(&self, rule: u32) -> Option<()>;

    /// It is a first fragment, which was denied, or not; see [`first`].
    fn first(&self, denied: bool);

    /// It is a later fragment: what it follows; see [`follow`].
    fn follow(&self) -> Followed;

    /// Whether the packet that this one quotes, an ICMP error for `to`, was sent in a flow that is there; see [`quoted`].
    fn quoted<const PLANE: u8>(
        &self,
        frame: &impl Frame,
        quotation: Quotation,
        to: Address,
        tick: u64,
    ) -> bool;

    /// A rule, or the default, allows it: what the buckets say that it takes from; see [`limit::draw`]. A function, for the same reason.
    fn draw(&self, make: impl FnOnce() -> Draw) -> Drawn;

    /// It is a SYN over the budget: whether it is answered with a cookie; see [`cookie::ask`].
    fn answer(&self, frame: &impl Frame) -> bool;

    /// It belongs to no flow and is about to open one. When it is an ACK that brings back a cookie, its claim is proven.
    fn prove(&self, frame: &impl Frame);
}

/// Whether a flow lets a packet through, which claims that it belongs to one.
#[inline(always)]
pub(crate) fn ask<const PLANE: u8>(memory: &impl Memory) -> Passage {
    let passage = memory.pass(Again::NOT_ASKED);
    let by_remote = match passage {
        Passage::StaleOfRemote => true,
        Passage::StaleOfLocal => false,
        passage => return passage,
    };
    memory.pass(memory.again::<PLANE>(by_remote))
}

/// No memory: every packet is judged alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stateless;

impl Memory for Stateless {
    #[inline(always)]
    fn claim(&self, _: impl FnOnce() -> Claim) {}

    #[inline(always)]
    fn pass(&self, _: Again) -> Passage {
        Passage::Unknown
    }

    #[inline(always)]
    fn again<const PLANE: u8>(&self, _: bool) -> Again {
        Again::ENDS
    }

    #[inline(always)]
    fn open(&self, _: u32) -> Option<()> {
        Some(())
    }

    #[inline(always)]
    fn first(&self, _: bool) {}

    #[inline(always)]
    fn follow(&self) -> Followed {
        Followed::Unknown
    }

    #[inline(always)]
    fn quoted<const PLANE: u8>(&self, _: &impl Frame, _: Quotation, _: Address, _: u64) -> bool {
        false
    }

    #[inline(always)]
    fn draw(&self, _: impl FnOnce() -> Draw) -> Drawn {
        Drawn::Granted
    }

    #[inline(always)]
    fn answer(&self, _: &impl Frame) -> bool {
        false
    }

    #[inline(always)]
    fn prove(&self, _: &impl Frame) {}
}

/// Flows and buckets, and the tables that have judged them, in user space.
#[derive(Debug)]
pub struct Remembering<'m, T, O, F> {
    /// The tables of the packet's direction.
    pub tables: &'m T,
    /// Those of the other direction: they judge a flow again that began there.
    pub other: &'m O,
    /// The flows and the buckets, and the host's TCP.
    pub flows: &'m F,
    /// What the packet claims.
    pub claim: Cell<Option<Claim>>,
}

impl<'m, T, O, F> Remembering<'m, T, O, F> {
    /// For one judgement.
    pub const fn new(tables: &'m T, other: &'m O, flows: &'m F) -> Self {
        Self {
            tables,
            other,
            flows,
            claim: Cell::new(None),
        }
    }
}

impl<T: Tables, O: Tables, F: Flows + Buckets + HostTcp> Memory for Remembering<'_, T, O, F> {
    fn claim(&self, make: impl FnOnce() -> Claim) {
        self.claim.set(Some(make()));
    }

    fn pass(&self, again: Again) -> Passage {
        self.claim.get().map_or(Passage::Unknown, |claim| {
            pass(self.tables, self.other, self.flows, &claim, again)
        })
    }

    fn again<const PLANE: u8>(&self, by_remote: bool) -> Again {
        match self.claim.get() {
            Some(claim) if by_remote != claim.is_outbound() => both::<PLANE>(self.tables, &claim, by_remote),
            Some(claim) => both::<PLANE>(self.other, &claim, by_remote),
            None => Again::ENDS,
        }
    }

    fn open(&self, rule: u32) -> Option<()> {
        match self.claim.get() {
            Some(claim) => open(self.tables, self.flows, &claim, rule),
            None => Some(()),
        }
    }

    fn first(&self, denied: bool) {
        if let Some(claim) = self.claim.get() {
            first(self.flows, &claim, denied);
        }
    }

    fn follow(&self) -> Followed {
        self.claim
            .get()
            .map_or(Followed::Unknown, |claim| follow(self.flows, &claim))
    }

    fn quoted<const PLANE: u8>(
        &self,
        frame: &impl Frame,
        quotation: Quotation,
        to: Address,
        tick: u64,
    ) -> bool {
        quoted::<PLANE>(frame, quotation, to, tick)
            .is_some_and(|claim| is_live(self.tables, self.flows, &claim))
    }

    fn draw(&self, make: impl FnOnce() -> Draw) -> Drawn {
        limit::draw(self.tables, self.flows, &make())
    }

    fn answer(&self, frame: &impl Frame) -> bool {
        cookie::ask(self.tables, self.flows, frame) > cookie::KNOWN
    }

    fn prove(&self, frame: &impl Frame) {
        if let Some(claim) = self.claim.get()
            && claim.acknowledges()
            && cookie::ask(self.tables, self.flows, frame) == cookie::KNOWN
        {
            self.claim.set(Some(Claim { proven: 1, ..claim }));
        }
    }
}

fn both<const PLANE: u8>(tables: &impl Tables, claim: &Claim, by_remote: bool) -> Again {
    match classes_again::<PLANE>(tables, claim, by_remote) {
        Some(classes) => again::<PLANE>(tables, classes),
        None => Again::FAULT,
    }
}

/// How flows are looked up: the seam between what becomes of them and whoever holds them.
pub trait Flows {
    /// The table of flows.
    fn table(&self) -> FlowTable<impl Lines>;

    /// Counts what has become of a flow.
    fn count(&self, event: FlowTables);

    /// A connection that this source opened was completed: from now on it is known.
    fn know(&self, source: &SourceKey, tick: u64);

    /// What is known of a datagram that comes in fragments.
    fn datagram(&self, key: &FlowKey) -> Option<impl FlowCell>;

    /// The first fragment of a datagram has come. When there is no room, the oldest goes.
    fn begin(&self, key: &FlowKey, record: &FlowRecord);
}

/// A flow in its table.
pub trait FlowCell {
    /// All words.
    fn load(&self) -> FlowRecord;

    /// Replaces the word at `index`.
    fn store(&self, index: usize, word: u64);
}
