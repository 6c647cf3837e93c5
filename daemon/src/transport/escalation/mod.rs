//! From what a source does wrong to the wish that it be banned.
//!
//! accept, connection → **escalation** → filter. Each listener with a `ban` has a `book` of its sources; a source that offends too often
//! becomes a `wish` in a bounded queue, which somebody else takes to the filter. Nothing here waits: a connection ends no later because
//! the filter is away. The address is that of the accepted socket, whose owner has completed a TCP handshake; no byte that was received
//! is asked for one.

mod book;
mod wish;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ravelin_rules::policy::SourceBan;

pub use book::{Book, Judgement};
pub use wish::{BanQueue, BanWish};

use super::limit::Source;
use crate::metrics::ListenerMetrics;
use crate::metrics::labels::{BanResult, Offence};

/// The offences of one listener's sources, and what is asked for because of them.
pub struct Escalation {
    listener: String,
    ban: SourceBan,
    book: Mutex<Book>,
    queue: BanQueue,
    metrics: ListenerMetrics,
    epoch: Instant,
    retired: AtomicBool,
}

impl Escalation {
    /// Nobody has offended yet. No time before `epoch` is known.
    #[must_use]
    pub fn new(
        listener: &str,
        ban: SourceBan,
        queue: BanQueue,
        metrics: ListenerMetrics,
        epoch: Instant,
    ) -> Arc<Self> {
        Arc::new(Self {
            listener: listener.to_owned(),
            ban,
            book: Mutex::new(Book::new(ban.offences, nanos(ban.window))),
            queue,
            metrics,
            epoch,
            retired: AtomicBool::new(false),
        })
    }

    /// What it goes by.
    #[must_use]
    pub const fn terms(&self) -> SourceBan {
        self.ban
    }

    /// `peer`, the far end of an accepted socket, has offended.
    pub fn offended(self: &Arc<Self>, peer: IpAddr, offence: Offence, now: Instant) {
        if self.retired.load(Ordering::Relaxed) || is_link_local(peer) {
            return;
        }
        let source = Source::of(peer);
        let judgement = self.book().offence(source, self.since_epoch(now));
        match judgement {
            Judgement::Counted | Judgement::Known => {}
            Judgement::NoRoom => self.metrics.offences_not_counted.inc(),
            // The lock is free again: a wish that finds no room in the queue takes it.
            Judgement::Ban => {
                self.metrics.bans_asked.inc();
                self.queue.put(BanWish::new(Arc::clone(self), peer, offence));
            }
        }
    }

    /// The policy says otherwise now: connections that began before go on, and count no more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Shows the book's state in the metrics.
    pub(super) fn observe(&self) {
        let (sources, capacity) = {
            let book = self.book();
            (book.sources(), book.capacity())
        };
        self.metrics.offenders.set(gauge(sources));
        self.metrics.offenders_capacity.set(gauge(capacity));
    }

    /// The filter has answered. Either way the source is left alone for as long as the ban was to last: it is banned, or asking again would
    /// bring the same answer.
    fn answered(&self, peer: IpAddr, result: BanResult) {
        self.metrics.ban(result);
        // From now, not from when it was asked for: the filter's clock for the ban began before this.
        let end = self
            .since_epoch(Instant::now())
            .saturating_add(nanos(self.ban.lasts));
        self.book().answered(Source::of(peer), end);
    }

    fn lost(&self, peer: IpAddr) {
        self.metrics.ban(BanResult::Lost);
        self.book().lost(Source::of(peer));
    }

    fn since_epoch(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic under the lock can cost the record of one source.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Escalation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Escalation")
            .field("listener", &self.listener)
            .field("ban", &self.ban)
            .finish_non_exhaustive()
    }
}

/// Everybody on a link has an address in `fe80::/64`: one of them would get all of them banned.
fn is_link_local(peer: IpAddr) -> bool {
    matches!(peer, IpAddr::V6(peer) if peer.is_unicast_link_local())
}

fn nanos(duration: std::time::Duration) -> u64 {
    // 584 years.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc::Receiver;

    use super::*;
    use crate::metrics::EdgeMetrics;

    fn escalation(offences: u32) -> (Arc<Escalation>, Receiver<BanWish>, Instant) {
        let (queue, wishes) = BanQueue::bounded();
        let ban = SourceBan {
            offences,
            window: Duration::from_secs(60),
            lasts: Duration::from_secs(600),
        };
        let metrics = EdgeMetrics::new().unwrap().listener("web");
        let epoch = Instant::now();
        (Escalation::new("web", ban, queue, metrics, epoch), wishes, epoch)
    }

    #[test]
    fn a_wish_names_the_source_the_listener_and_the_last_offence() {
        let (escalation, mut wishes, now) = escalation(2);
        for (peer, prefix) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ] {
            let peer = peer.parse().unwrap();
            escalation.offended(peer, Offence::Rate, now);
            assert!(wishes.try_recv().is_err());
            escalation.offended(peer, Offence::NotTls, now);
            let wish = wishes.try_recv().unwrap();
            assert_eq!(wish.prefix().to_string(), prefix);
            assert_eq!(wish.reason(), "web: not_tls");
            assert_eq!(wish.lasts(), Duration::from_secs(600));
            wish.made();
        }
    }

    #[test]
    fn the_addresses_of_one_link_are_not_taken_for_one_source() {
        let (escalation, mut wishes, now) = escalation(1);
        escalation.offended("fe80::1".parse().unwrap(), Offence::NotTls, now);
        assert!(wishes.try_recv().is_err());
        assert_eq!(escalation.book().sources(), 0);
    }

    #[test]
    fn a_wish_that_nobody_answers_is_lost_and_asked_for_again_at_the_next_offence() {
        let (escalation, mut wishes, now) = escalation(3);
        let peer = "192.0.2.7".parse().unwrap();
        for _ in 0..3 {
            escalation.offended(peer, Offence::NotTls, now);
        }
        drop(wishes.try_recv().unwrap());
        escalation.offended(peer, Offence::NotTls, now);
        wishes.try_recv().unwrap().refused();
        // Refused: not again, however often it offends.
        for _ in 0..30 {
            escalation.offended(peer, Offence::NotTls, now);
        }
        assert!(wishes.try_recv().is_err());
        assert_eq!(escalation.metrics.bans_asked.get(), 2);
    }

    #[test]
    fn a_full_queue_and_one_that_nobody_reads_lose_wishes_and_hold_nobody_up() {
        let (escalation, mut wishes, now) = escalation(1);
        let peer = |number: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(0xc633_6400 + number));
        let room = u32::try_from(BanQueue::ROOM).unwrap();
        for number in 0..room + 7 {
            escalation.offended(peer(number), Offence::NotTls, now);
        }
        assert_eq!(u64::from(room + 7), escalation.metrics.bans_asked.get());
        let mut waiting = Vec::new();
        while let Ok(wish) = wishes.try_recv() {
            waiting.push(wish);
        }
        assert_eq!(waiting.len(), BanQueue::ROOM);
        // The lost one is asked for again, now that there is room; the others wait for their answer.
        for number in [0, room] {
            escalation.offended(peer(number), Offence::NotTls, now);
        }
        assert_eq!(wishes.try_recv().unwrap().prefix().addr(), peer(room));
        assert!(wishes.try_recv().is_err());
        drop((waiting, wishes));
        escalation.offended(peer(room + 1), Offence::NotTls, now);
    }

    #[test]
    fn what_a_reload_has_replaced_asks_for_nothing() {
        let (escalation, mut wishes, now) = escalation(1);
        escalation.retire();
        escalation.offended("192.0.2.7".parse().unwrap(), Offence::NotTls, now);
        assert!(wishes.try_recv().is_err());
    }
}
