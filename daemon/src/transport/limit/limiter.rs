//! The limits of each source and of each network: connections at once, new connections per time, handshakes per time.
//!
//! gate → **limiter** → slot. All limits are checked before any is charged, under the locks of all their accounts: what is refused has
//! taken nothing from anybody. Locks are taken in one order: source, network, listener. Memory is bounded:
//! [`Limiter::memory_bound`].

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use ravelin_datapath::wire::SourceLengths;
use ravelin_rules::policy::{DelayQueue, HandshakeLimit, OverLimit, Quota};

use super::accounts::{Accounts, Buckets, Held, Quotas, lock};
use super::line::{Line, Ticket};
use super::meter::{FULL, Meter};
use super::refused::Refused;
use super::source::Source;
use crate::metrics::labels::Refusal;

/// The state of all sources and networks of one listener. Shared by its accept loops.
#[derive(Debug)]
pub struct Limiter {
    sources: Accounts,
    networks: Option<(SourceLengths, Accounts)>,
    /// The handshakes of the whole listener.
    handshakes: Option<Mutex<Bucket>>,
    waiting: AtomicU32,
    epoch: Instant,
}

/// What the state depends on: when it changes, the state begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// New connections of a source.
    pub connections: Option<Quota>,
    /// New connections of a network.
    pub per_network: Option<Quota>,
    /// Handshakes that begin.
    pub handshakes: Option<HandshakeLimit>,
    /// What a network is; `None` when nothing is limited per network.
    pub network: Option<SourceLengths>,
    /// How many sources, and how many networks, have an account of their own.
    pub max_sources: u32,
}

/// What a source may do now; changes with the policy while the state stays.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Connections of a source at once.
    pub per_source: Option<u32>,
    /// Connections of a network at once.
    pub per_network: Option<u32>,
    /// What happens over the rate of a source.
    pub over: OverLimit,
    /// Nobody is made to wait: who would have to goes on.
    pub observe: bool,
}

/// When a connection may go on.
#[derive(Debug)]
pub enum Turn {
    /// At once.
    Now(SourceSlot),
    /// When those before it have had their turns and its own has come.
    InLine(Place, SourceSlot),
    /// At once, because limits are only observed: it would have to wait.
    WouldWait(SourceSlot),
}

/// A connection in the accounts of its source and its network; closed when dropped.
#[derive(Debug)]
pub struct SourceSlot {
    limiter: Arc<Limiter>,
    source: Key,
    network: Option<Key>,
}

/// A place in the line of a source; given up when dropped.
#[derive(Debug)]
pub struct Place {
    limiter: Arc<Limiter>,
    source: Key,
    ticket: Ticket,
}

/// Why a turn is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTurn {
    /// It has not come, or somebody is before.
    NotYet,
    /// Another limit says no.
    Refused(Refused),
}

/// An account, found again.
#[derive(Clone, Copy, Debug)]
struct Key {
    source: Source,
    shared: bool,
}

/// The accounts of one connection, which nobody else can change meanwhile.
struct Accountable<'a> {
    source: Held<'a>,
    network: Option<Held<'a>>,
}

enum Entry {
    Now,
    InLine(Ticket),
    WouldWait,
}

#[derive(Debug)]
struct Bucket {
    meter: Meter,
    full_at: u64,
}

impl Limiter {
    /// The most memory one source takes, and one network.
    pub const BYTES_PER_SOURCE: usize = Accounts::BYTES_EACH;

    /// The memory that does not depend on their number.
    pub const FIXED_BYTES: usize = 64 * 1024;

    /// A limiter by these rates. `judged_by_shared` counts the judgements of sources and networks without an account of their own; no
    /// time before `epoch` is known.
    #[must_use]
    pub fn new(rates: Rates, judged_by_shared: IntCounter, epoch: Instant) -> Arc<Self> {
        let each = rates.handshakes.filter(|limit| limit.per_source);
        let all = rates.handshakes.filter(|limit| !limit.per_source);
        let of_source = Quotas {
            connections: rates.connections,
            handshakes: each.map(|limit| limit.quota),
        };
        let of_network = Quotas {
            connections: rates.per_network,
            handshakes: None,
        };
        let accounts = |quotas| Accounts::new(quotas, rates.max_sources, judged_by_shared.clone());
        Arc::new(Self {
            sources: accounts(of_source),
            networks: rates.network.map(|lengths| (lengths, accounts(of_network))),
            handshakes: all.map(|limit| {
                Mutex::new(Bucket {
                    meter: Meter::new(limit.quota),
                    full_at: FULL,
                })
            }),
            waiting: AtomicU32::new(0),
            epoch,
        })
    }

    /// Judges a new connection from `address`: connections at once, of its source and of its network, then rates, of its source, its
    /// network, and handshakes. One that must wait is judged by the rates when its turn has come.
    ///
    /// # Errors
    ///
    /// The first limit it is over. A refused connection takes nothing from any bucket.
    pub fn judge(self: &Arc<Self>, address: IpAddr, terms: Terms, now: Instant) -> Result<Turn, Refused> {
        let now = self.nanos(now);
        let address = Source::of(address);
        let network = self
            .networks
            .as_ref()
            .map(|(lengths, networks)| (address.network(*lengths), networks));
        let mut held = Accountable {
            source: self.sources.hold(address, now),
            network: network.map(|(address, networks)| networks.hold(address, now)),
        };
        held.check_open(terms)?;
        let wait = match terms.over {
            OverLimit::Delay(queue) => held.source.turn(now).map(|turn| (turn, queue)),
            OverLimit::Refuse => None,
        };
        let entry = match wait {
            None => {
                self.spend(&mut held, now)?;
                Entry::Now
            }
            Some((turn, queue)) if Duration::from_nanos(turn.saturating_sub(now)) > queue.max => {
                return Err(held.source.refused(Refusal::DelayTooLong));
            }
            Some((turn, _)) if terms.observe => {
                held.source.reserve(turn);
                Entry::WouldWait
            }
            Some((_, queue)) if self.one_more_waits(queue) => {
                Entry::InLine(held.source.with_line(Line::join))
            }
            Some(_) => return Err(Refused::by_crowd(Refusal::QueueFull)),
        };
        held.open();
        let source = Key::of(address, &held.source);
        let network = network.zip(held.network.as_ref());
        let network = network.map(|((address, _), held)| Key::of(address, held));
        // A slot that is dropped takes the locks.
        drop(held);
        let limiter = || Arc::clone(self);
        let slot = SourceSlot {
            limiter: limiter(),
            source,
            network,
        };
        Ok(match entry {
            Entry::Now => Turn::Now(slot),
            Entry::WouldWait => Turn::WouldWait(slot),
            Entry::InLine(ticket) => {
                let limiter = limiter();
                Turn::InLine(
                    Place {
                        limiter,
                        source,
                        ticket,
                    },
                    slot,
                )
            }
        })
    }

    /// How many sources have an account of their own.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// How many sources can have one.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.sources.capacity()
    }

    /// The most memory it can take, in bytes: [`Limiter::BYTES_PER_SOURCE`] for each source and each network that can have an account,
    /// and [`Limiter::FIXED_BYTES`]. Those who wait are connections, and bounded as such.
    #[must_use]
    pub fn memory_bound(&self) -> usize {
        let networks = self
            .networks
            .as_ref()
            .map_or(0, |(_, networks)| networks.capacity());
        (self.capacity() + networks) * Self::BYTES_PER_SOURCE + Self::FIXED_BYTES
    }

    /// What its tables have set aside, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let networks = self
            .networks
            .as_ref()
            .map_or(0, |(_, networks)| networks.memory());
        self.sources.memory() + networks
    }

    /// How many connections wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether there is room in the queue of the listener; it is taken then.
    fn one_more_waits(&self, queue: DelayQueue) -> bool {
        let one_more = |waiting: u32| (waiting < queue.queue).then(|| waiting + 1);
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    /// Takes one from every bucket, or none.
    fn spend(&self, held: &mut Accountable<'_>, now: u64) -> Result<(), Refused> {
        let source = held.source.take(now)?;
        let network = match &mut held.network {
            // What others of the network have taken is no offence of this one.
            Some(network) => Some(
                network
                    .take(now)
                    .map_err(|_later| Refused::by_crowd(Refusal::NetworkRate))?,
            ),
            None => None,
        };
        if let Some(handshakes) = &self.handshakes {
            let mut handshakes = lock(handshakes);
            let Bucket { meter, full_at } = &mut *handshakes;
            *full_at = meter
                .take(*full_at, now)
                .map_err(|_later| Refused::by_crowd(Refusal::HandshakeRate))?;
        }
        held.source.set(source);
        if let Some((held, buckets)) = held.network.as_mut().zip(network) {
            held.set(buckets);
        }
        Ok(())
    }

    /// The accounts of a connection that is open. `None` cannot be: such accounts stay.
    fn hold_again(&self, slot: &SourceSlot, now: u64) -> Option<Accountable<'_>> {
        let source = self
            .sources
            .hold_again(slot.source.source, slot.source.shared, now)?;
        let network = match (&self.networks, slot.network) {
            (Some((_, networks)), Some(key)) => Some(networks.hold_again(key.source, key.shared, now)?),
            _ => None,
        };
        Some(Accountable { source, network })
    }

    fn nanos(&self, now: Instant) -> u64 {
        // 584 years of uptime.
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Accountable<'_> {
    fn check_open(&mut self, terms: Terms) -> Result<(), Refused> {
        let full = |held: &mut Held<'_>, cap: Option<u32>| cap.is_some_and(|cap| held.parts().0.open >= cap);
        if full(&mut self.source, terms.per_source) {
            return Err(self.source.refused(Refusal::SourceConnections));
        }
        if let Some(network) = &mut self.network
            && full(network, terms.per_network)
        {
            return Err(Refused::by_crowd(Refusal::NetworkConnections));
        }
        Ok(())
    }

    fn open(&mut self) {
        self.source.open();
        if let Some(network) = &mut self.network {
            network.open();
        }
    }

    fn close(&mut self) {
        self.source.close();
        if let Some(network) = &mut self.network {
            network.close();
        }
    }
}

impl Held<'_> {
    /// When the turn of one more connection comes; `None`: it need not wait.
    fn turn(&mut self, now: u64) -> Option<u64> {
        let waiting = self.waiting() as u64;
        let (account, meters) = self.parts();
        let meter = meters.connections.as_mut()?;
        // No earlier than a full bucket has it: one that nobody took from when he might does not grow.
        let first = meter.earliest(account.buckets.connections.max(now));
        // Even if the first in line is late to take its turn: nobody overtakes.
        (waiting > 0 || first > now).then(|| first.saturating_add(waiting.saturating_mul(meter.period())))
    }

    /// The buckets after one more connection.
    fn take(&mut self, now: u64) -> Result<Buckets, Refused> {
        let (account, meters) = self.parts();
        let mut buckets = account.buckets;
        if let Some(meter) = &mut meters.connections {
            match meter.take(buckets.connections, now) {
                Ok(full_at) => buckets.connections = full_at,
                Err(_later) => return Err(self.refused(Refusal::Rate)),
            }
        }
        if let Some(meter) = &mut meters.handshakes {
            match meter.take(buckets.handshakes, now) {
                Ok(full_at) => buckets.handshakes = full_at,
                Err(_later) => return Err(self.refused(Refusal::HandshakeRate)),
            }
        }
        Ok(buckets)
    }

    /// Takes one connection at a moment to come. Where limits are only observed nobody leaves a line, so this is as exact as one.
    fn reserve(&mut self, turn: u64) {
        let (account, meters) = self.parts();
        let mut buckets = account.buckets;
        if let Some(meter) = &mut meters.connections
            && let Ok(full_at) = meter.take(buckets.connections, turn)
        {
            buckets.connections = full_at;
        }
        self.set(buckets);
    }

    /// Refused by this account.
    const fn refused(&self, check: Refusal) -> Refused {
        Refused::by_account(check, self.is_shared(), self.debt)
    }
}

impl Key {
    const fn of(source: Source, held: &Held<'_>) -> Self {
        Self {
            source,
            shared: held.is_shared(),
        }
    }
}

impl Place {
    /// When its turn comes, if it is the first in line. It can be taken then; nobody else can take it.
    #[must_use]
    pub fn turn(&self) -> Option<Instant> {
        let mut held = self.held()?;
        if !held.with_line(|line| line.is_first(&self.ticket)) {
            return None;
        }
        let (account, meters) = held.parts();
        let turn = meters
            .connections
            .as_mut()
            .map_or(0, |meter| meter.earliest(account.buckets.connections));
        Some(self.limiter.epoch + Duration::from_nanos(turn))
    }

    /// Ready when it has become the first in line.
    pub(super) async fn called(&self) {
        self.ticket.called().await;
    }

    /// Takes the turn, if it has come and every other rate agrees; the place is left then. What is refused has taken nothing, so the turn
    /// is the next one's.
    ///
    /// # Errors
    ///
    /// When the turn has not come, or another limit refuses the connection.
    pub fn take_turn(&self, slot: &SourceSlot, now: Instant) -> Result<(), NoTurn> {
        let now = self.limiter.nanos(now);
        let gone = NoTurn::Refused(Refused::by_crowd(Refusal::Rate));
        let mut held = self.limiter.hold_again(slot, now).ok_or(gone)?;
        if !held.source.with_line(|line| line.is_first(&self.ticket)) {
            return Err(NoTurn::NotYet);
        }
        let (account, meters) = held.source.parts();
        if let Some(meter) = &mut meters.connections
            && meter.earliest(account.buckets.connections) > now
        {
            return Err(NoTurn::NotYet);
        }
        self.limiter.spend(&mut held, now).map_err(NoTurn::Refused)
    }

    fn held(&self) -> Option<Held<'_>> {
        let Key { source, shared } = self.source;
        self.limiter.sources.hold_again(source, shared, 0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut held) = self.held() {
            held.with_line(|line| line.leave(&self.ticket));
        }
        self.limiter.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for SourceSlot {
    fn drop(&mut self) {
        if let Some(mut held) = self.limiter.hold_again(self, 0) {
            held.close();
        }
    }
}

#[cfg(test)]
mod tests;
