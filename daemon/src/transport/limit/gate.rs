//! The order of the checks, and the only place a [`Permit`] is made.
//!
//! accept → **gate** → TLS. Address lists, then all connections, then those of the source and its network, then rates: the cheapest
//! first, and none takes from a bucket what another one refuses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::limiter::{Limiter, NoTurn, Place, SourceSlot, Terms, Turn};
use super::ranges::AddressRanges;
use super::refused::Refused;
use super::total::{Total, TotalSlot};
use crate::metrics::labels::Refusal;

/// The checks of one listener.
#[derive(Debug)]
pub struct Gate {
    /// Clients let in.
    pub allow: AddressRanges,
    /// Clients refused, also when `allow` names them.
    pub deny: AddressRanges,
    /// The connections of the listener.
    pub total: Arc<Total>,
    /// `concurrent.total`.
    pub total_cap: u32,
    /// The state of its sources and what they may do; `None` when there is no other limit.
    pub sources: Option<(Arc<Limiter>, Terms)>,
}

/// The right to be served. While it lives the connection counts against every limit.
#[derive(Debug)]
pub struct Permit {
    _total: TotalSlot,
    _source: Option<SourceSlot>,
}

/// A connection in line: it counts against the limits on connections at once, and has taken nothing from a rate.
#[derive(Debug)]
pub struct Waiting {
    // Dropped first: who is next goes on sooner.
    place: Place,
    slot: SourceSlot,
    total: TotalSlot,
}

/// What the gate says to a client it does not refuse.
#[derive(Debug)]
pub enum Admission {
    /// Go on.
    Now(Permit),
    /// Go on when the turn has come.
    Wait(Waiting),
    /// Go on, because limits are only observed.
    Observed(Permit, Would),
}

/// What would happen to a connection if limits were in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Would {
    /// Refused. It holds no place in the limits, as if it had been.
    Refuse(Refused),
    /// It would have to wait.
    Wait,
}

/// Why a connection in line does not go on.
#[derive(Debug)]
pub enum NoEntry {
    /// Its turn has not come.
    NotYet(Waiting),
    /// Its turn has come, and another rate says no.
    Refused(Refused),
}

impl Gate {
    /// Judges a connection from `client`; `unix` is the moment by the wall clock, in seconds: entries of lists end by it.
    ///
    /// # Errors
    ///
    /// The check that refused it.
    pub fn admit(&self, client: IpAddr, now: Instant, unix: u64) -> Result<Admission, Refused> {
        if !self.allow.contains(client, unix) || self.deny.contains(client, unix) {
            return Err(Refused::by_address());
        }
        let full = || Refused::by_crowd(Refusal::TotalConnections);
        let total = self.total.take(self.total_cap).ok_or_else(full)?;
        let Some((limiter, terms)) = &self.sources else {
            return Ok(Admission::Now(Permit::new(total, None)));
        };
        match limiter.judge(client, *terms, now) {
            Ok(Turn::Now(slot)) => Ok(Admission::Now(Permit::new(total, Some(slot)))),
            Ok(Turn::WouldWait(slot)) => Ok(Admission::Observed(Permit::new(total, Some(slot)), Would::Wait)),
            Ok(Turn::InLine(place, slot)) => Ok(Admission::Wait(Waiting { place, slot, total })),
            Err(refused) if terms.observe => Ok(Admission::Observed(
                Permit::new(total, None),
                Would::Refuse(refused),
            )),
            Err(refused) => Err(refused),
        }
    }
}

impl Permit {
    const fn new(total: TotalSlot, source: Option<SourceSlot>) -> Self {
        Self {
            _total: total,
            _source: source,
        }
    }
}

impl Waiting {
    /// When its turn comes, if it is the first in line.
    #[must_use]
    pub fn turn(&self) -> Option<Instant> {
        self.place.turn()
    }

    /// Ready when it has become the first in line.
    pub async fn called(&self) {
        self.place.called().await;
    }

    /// Takes the turn at `now`.
    ///
    /// # Errors
    ///
    /// When it has not come, or when another rate refuses the connection.
    pub fn take_turn(self, now: Instant) -> Result<Permit, NoEntry> {
        match self.place.take_turn(&self.slot, now) {
            Ok(()) => Ok(Permit::new(self.total, Some(self.slot))),
            Err(NoTurn::NotYet) => Err(NoEntry::NotYet(self)),
            Err(NoTurn::Refused(refused)) => Err(NoEntry::Refused(refused)),
        }
    }
}
