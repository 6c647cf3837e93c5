//! The keys that session tickets are sealed with: made, used for a while, kept to open with for a while, erased.
//!
//! policy → **tickets** → config. Kept over reloads while the policy's terms are the same, so that clients resume across a
//! change of certificates. They live in memory alone.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ravelin_rules::policy::Tickets as Terms;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

/// The ticket keys of one listener. Each listener has its own: a ticket of one never resumes on another.
#[derive(Debug)]
pub struct TicketKeys {
    terms: Terms,
    /// The newest first. At most [`Terms::MOST_KEYS`] and the one that seals: `lifetime` is bounded by that many `rotate`.
    keys: RwLock<Vec<Key>>,
}

/// One key. The library's ticketer is a key for the first six hours, and opens what it sealed then for six more: no key here is
/// asked for anything outside of that, because the policy's `rotate` and `lifetime` are bounded by these figures.
#[derive(Debug)]
struct Key {
    made: Instant,
    ticketer: Arc<dyn ProducesTickets>,
}

impl TicketKeys {
    /// The keys for these terms: those of `previous` if its terms are the same, else fresh ones.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn kept(terms: Terms, previous: Option<&Arc<Self>>) -> Result<Arc<Self>, rustls::Error> {
        if let Some(previous) = previous.filter(|previous| previous.terms == terms) {
            return Ok(Arc::clone(previous));
        }
        Ok(Arc::new(Self::new(terms, Instant::now())?))
    }

    fn new(terms: Terms, now: Instant) -> Result<Self, rustls::Error> {
        Ok(Self {
            terms,
            keys: RwLock::new(vec![Key::new(now)?]),
        })
    }

    fn seal(&self, plain: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.roll(now);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        // A key is not used beyond its time because there is no randomness for the next: the client gets no ticket.
        let newest = keys.first().filter(|key| key.age(now) < self.terms.rotate)?;
        newest.ticketer.encrypt(plain)
    }

    fn open(&self, ticket: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.roll(now);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let live = keys.iter().filter(|key| key.age(now) < self.terms.lifetime);
        live.filter_map(|key| key.ticketer.decrypt(ticket)).next()
    }

    /// Makes the next key when its time has come, and erases those whose time is over.
    fn roll(&self, now: Instant) {
        let due = |keys: &[Key]| {
            keys.first().is_none_or(|key| key.age(now) >= self.terms.rotate)
                || keys.last().is_some_and(|key| key.age(now) >= self.terms.lifetime)
        };
        if !due(&self.keys.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|key| key.age(now) < self.terms.lifetime);
        if keys.first().is_none_or(|key| key.age(now) >= self.terms.rotate) {
            match Key::new(now) {
                Ok(key) => keys.insert(0, key),
                Err(error) => tracing::warn!(%error, "no new key for session tickets: clients get none"),
            }
        }
    }
}

impl Key {
    fn new(now: Instant) -> Result<Self, rustls::Error> {
        Ok(Self {
            made: now,
            ticketer: Ticketer::new()?,
        })
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.made)
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.terms.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, Instant::now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn keys(rotate: u32, lifetime: u32) -> (TicketKeys, Instant) {
        let start = Instant::now();
        let terms = Terms {
            rotate: HOUR * rotate,
            lifetime: HOUR * lifetime,
        };
        (TicketKeys::new(terms, start).unwrap(), start)
    }

    fn held(keys: &TicketKeys) -> usize {
        keys.keys.read().unwrap().len()
    }

    #[test]
    fn a_ticket_opens_until_its_keys_lifetime_is_over_and_no_longer() {
        let (keys, start) = keys(1, 3);
        let at = |minutes: u32| start + HOUR / 60 * minutes;
        let ticket = keys.seal(b"a session", at(59)).unwrap();
        assert_ne!(ticket, b"a session");
        for minutes in [59, 60, 61, 120, 179] {
            assert_eq!(
                keys.open(&ticket, at(minutes)).unwrap(),
                b"a session",
                "{minutes}"
            );
        }
        assert_eq!(keys.open(&ticket, at(180)), None);
        assert_eq!(held(&keys), 3, "the first of four is not erased");
    }

    #[test]
    fn a_new_key_seals_after_each_rotation_and_their_number_is_bounded() {
        let (keys, start) = keys(1, 8);
        let mut tickets = Vec::new();
        for hour in 0..30 {
            let now = start + HOUR * hour;
            tickets.push(keys.seal(b"x", now).unwrap());
            assert!(held(&keys) <= Terms::MOST_KEYS as usize + 1, "{}", held(&keys));
        }
        let end = start + HOUR * 29;
        let opened = tickets.iter().filter(|ticket| keys.open(ticket, end).is_some());
        assert_eq!(opened.count(), 8);
        // Nobody came for a long time: what is left is one new key.
        assert_eq!(keys.open(&tickets[29], end + HOUR * 8), None);
        assert_eq!(held(&keys), 1);
    }

    #[test]
    fn keys_are_kept_while_the_terms_are_the_same() {
        let terms = Terms::default();
        let first = TicketKeys::kept(terms, None).unwrap();
        let same = TicketKeys::kept(terms, Some(&first)).unwrap();
        assert!(Arc::ptr_eq(&first, &same));
        let shorter = Terms {
            lifetime: HOUR * 7,
            ..terms
        };
        let other = TicketKeys::kept(shorter, Some(&first)).unwrap();
        let ticket = first.encrypt(b"x").unwrap();
        assert_eq!(other.decrypt(&ticket), None);
        assert_eq!(other.lifetime(), 7 * 3_600);
    }

    #[test]
    fn no_ticket_that_a_client_makes_up_is_opened() {
        let keys = TicketKeys::kept(Terms::default(), None).unwrap();
        let ticket = keys.encrypt(b"a session").unwrap();
        for length in 0..ticket.len() {
            assert_eq!(keys.decrypt(&ticket[..length]), None);
            let mut changed = ticket.clone();
            changed[length] ^= 1;
            assert_eq!(keys.decrypt(&changed), None);
        }
    }
}
