//! The order of the checks, and the only place a [`Permit`] is made.
//!
//! accept → **gate** → TLS. Address lists, then all connections, then the source's connections, then its rate: the cheapest
//! first, and none takes from a bucket what a later one refuses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::limiter::{Limiter, SourceSlot, Terms, Turn};
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
    /// The state of its sources and what they may do; `None` when no limit is per source.
    pub sources: Option<(Arc<Limiter>, Terms)>,
}

/// The right to be served. While it lives the connection counts against every limit.
#[derive(Debug)]
pub struct Permit {
    _total: TotalSlot,
    source: Option<SourceSlot>,
}

/// What the gate says to a client it does not refuse.
#[derive(Debug)]
pub enum Admission {
    /// Go on.
    Now(Permit),
    /// Go on, but not before this moment.
    Wait(Instant, Permit),
}

impl Gate {
    /// Judges a connection from `client`; `unix` is the moment by the wall clock, in seconds: entries of lists end by it.
    ///
    /// # Errors
    ///
    /// The check that refused it.
    pub fn admit(&self, client: IpAddr, now: Instant, unix: u64) -> Result<Admission, Refused> {
        if !self.lets_in(client, unix) {
            return Err(Refused::by_listener(Refusal::Address));
        }
        let full = || Refused::by_listener(Refusal::TotalConnections);
        let total = self.total.take(self.total_cap).ok_or_else(full)?;
        let Some((limiter, terms)) = &self.sources else {
            return Ok(Admission::Now(Permit {
                _total: total,
                source: None,
            }));
        };
        match limiter.judge(client, *terms, now)? {
            Turn::Now(slot) => Ok(Admission::Now(Permit {
                _total: total,
                source: Some(slot),
            })),
            Turn::At(turn, slot) => Ok(Admission::Wait(
                turn,
                Permit {
                    _total: total,
                    source: Some(slot),
                },
            )),
        }
    }
}

impl Gate {
    /// What the address lists say.
    #[must_use]
    pub fn lets_in(&self, client: IpAddr, unix: u64) -> bool {
        self.allow.contains(client, unix) && !self.deny.contains(client, unix)
    }
}

impl Permit {
    /// The wait is over and the turn is taken.
    pub(super) fn take_turn(&mut self) {
        if let Some(slot) = &mut self.source {
            slot.take_turn();
        }
    }
}
