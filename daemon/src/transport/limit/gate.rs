//! The order of the checks, and the only place a [`Permit`] is made.
//!
//! accept → **gate** → TLS. Address lists, then all connections, then those of the source and its network, then rates: the cheapest
//! first, and none takes from a bucket what another one refuses. Where clients come through proxies, the peer is judged first (is it
//! trusted, is there room), and the client when its proxy has named it.

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
    /// The peers that are believed when they name their client; `None`: the peer is the client.
    pub trusted_proxies: Option<AddressRanges>,
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

/// Who is at the other end of a socket that the gate lets in.
#[derive(Debug)]
pub enum Entrant {
    /// A client.
    Client(Admission),
    /// A trusted proxy: its client is to be judged when it is known. The place is the connection's.
    Proxy(TotalSlot),
}

impl Gate {
    /// Judges a connection from `peer`; `unix` is the moment by the wall clock, in seconds: entries of lists end by it.
    ///
    /// # Errors
    ///
    /// The check that refused it.
    pub fn enter(&self, peer: IpAddr, now: Instant, unix: u64) -> Result<Entrant, Refused> {
        match &self.trusted_proxies {
            None => {
                self.listed(peer, unix)?;
                self.limited(peer, self.place()?, now).map(Entrant::Client)
            }
            Some(trusted) if trusted.contains(peer, unix) => self.place().map(Entrant::Proxy),
            Some(_) => Err(Refused::by_crowd(Refusal::UntrustedProxy)),
        }
    }

    /// Judges `client`, whom a trusted proxy has named on the connection that has this place.
    ///
    /// # Errors
    ///
    /// The check that refused it; the place is free again.
    pub fn admit(
        &self,
        client: IpAddr,
        place: TotalSlot,
        now: Instant,
        unix: u64,
    ) -> Result<Admission, Refused> {
        self.listed(client, unix)?;
        self.limited(client, place, now)
    }

    fn listed(&self, client: IpAddr, unix: u64) -> Result<(), Refused> {
        if self.allow.contains(client, unix) && !self.deny.contains(client, unix) {
            Ok(())
        } else {
            Err(Refused::by_address())
        }
    }

    fn place(&self) -> Result<TotalSlot, Refused> {
        let full = || Refused::by_crowd(Refusal::TotalConnections);
        self.total.take(self.total_cap).ok_or_else(full)
    }

    fn limited(&self, client: IpAddr, total: TotalSlot, now: Instant) -> Result<Admission, Refused> {
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

impl Gate {
    /// What the address lists say.
    #[must_use]
    pub fn lets_in(&self, client: IpAddr, unix: u64) -> bool {
        self.allow.contains(client, unix) && !self.deny.contains(client, unix)
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

#[cfg(test)]
mod tests {
    use prometheus::IntGauge;
    use ravelin_rules::load_text;

    use super::*;

    fn gate(trusted: &[&str], allow: &str, total_cap: u32) -> Gate {
        let ranges = |list: &str| {
            let policy = format!(
                "[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:0\"\nallow = {list}\nroutes = [{{ upstream = \"u\", passthrough = true }}]\n\
                 [[upstream]]\nname = \"u\"\nservers = [\"127.0.0.1:1\"]\n"
            );
            AddressRanges::compile(&load_text(&policy).unwrap().policy.listeners[0].allow)
        };
        Gate {
            trusted_proxies: (!trusted.is_empty()).then(|| ranges(&format!("{trusted:?}"))),
            allow: ranges(allow),
            deny: ranges("[\"203.0.113.0/24\"]"),
            total: Total::new(IntGauge::new("open", "Open.").unwrap()),
            total_cap,
            sources: None,
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_proxy_is_judged_by_trust_and_its_client_by_the_lists() {
        let gate = gate(&["192.0.2.0/24"], "[\"198.51.100.0/24\"]", 1);
        let now = Instant::now();
        let stranger = gate.enter(address("198.51.100.1"), now, 0).unwrap_err();
        assert_eq!(
            (stranger.check, stranger.offence),
            (Refusal::UntrustedProxy, None)
        );
        for (client, expected) in [
            ("198.51.100.1", None),
            ("203.0.113.1", Some(Refusal::Address)),
            // The proxy itself is no client unless a list says so.
            ("192.0.2.1", Some(Refusal::Address)),
        ] {
            let Ok(Entrant::Proxy(place)) = gate.enter(address("192.0.2.1"), now, 0) else {
                panic!("the proxy is trusted")
            };
            let full = gate.enter(address("192.0.2.1"), now, 0).unwrap_err();
            assert_eq!(full.check, Refusal::TotalConnections);
            let judged = gate.admit(address(client), place, now, 0);
            assert_eq!(judged.err().map(|refused| refused.check), expected, "{client}");
            assert_eq!(gate.total.open(), 0);
        }
    }

    #[test]
    fn without_proxies_the_lists_come_before_the_count() {
        let gate = gate(&[], "\"anywhere\"", 1);
        let now = Instant::now();
        let open = gate.enter(address("198.51.100.1"), now, 0).unwrap();
        assert!(matches!(open, Entrant::Client(Admission::Now(_))));
        for (client, expected) in [
            ("198.51.100.1", Refusal::TotalConnections),
            ("203.0.113.1", Refusal::Address),
        ] {
            let refused = gate.enter(address(client), now, 0).unwrap_err();
            assert_eq!(refused.check, expected, "{client}");
        }
    }
}
