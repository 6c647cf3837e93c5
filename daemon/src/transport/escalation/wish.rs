//! The wish that a source be banned, on its way to the filter.
//!
//! escalation → **wish** → filter. Whoever takes it out of the queue says what came of it; one that is dropped without a word was lost.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use ravelin_datapath::wire::BAN_REASON_BYTES;
use tokio::sync::mpsc;

use super::Escalation;
use crate::metrics::labels::{BanResult, LabelValue as _, Offence};

/// A source that is to be banned.
pub struct BanWish {
    escalation: Arc<Escalation>,
    peer: IpAddr,
    offence: Offence,
    since: Instant,
    answered: bool,
}

impl BanWish {
    pub(super) fn new(escalation: Arc<Escalation>, peer: IpAddr, offence: Offence) -> Self {
        Self {
            escalation,
            peer,
            offence,
            since: Instant::now(),
            answered: false,
        }
    }

    /// Whom: an IPv4 address, or an IPv6 /64.
    #[must_use]
    pub fn prefix(&self) -> IpNet {
        let address = self.peer.to_canonical();
        let length = if address.is_ipv4() { 32 } else { 64 };
        IpNet::new(address, length).map_or_else(|_longer| address.into(), |prefix| prefix.trunc())
    }

    /// For how long.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.escalation.ban.lasts
    }

    /// Why: the listener and the offence that was one too many, in the bytes that a reason may have.
    #[must_use]
    pub fn reason(&self) -> String {
        let offence = self.offence.word();
        let room = BAN_REASON_BYTES.saturating_sub(": ".len() + offence.len());
        let listener = &self.escalation.listener;
        // Names are ASCII; one that were not would be left out and not cut inside of a character.
        let listener = listener.get(..room.min(listener.len())).unwrap_or_default();
        format!("{listener}: {offence}")
    }

    /// For how long it has waited.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// The source is banned.
    pub fn made(mut self) {
        self.answer(BanResult::Made);
    }

    /// The filter does not ban it.
    pub fn refused(mut self) {
        self.answer(BanResult::Refused);
    }

    fn answer(&mut self, result: BanResult) {
        self.answered = true;
        self.escalation.answered(self.peer, result);
    }
}

impl Drop for BanWish {
    fn drop(&mut self) {
        if !self.answered {
            self.escalation.lost(self.peer);
        }
    }
}

impl fmt::Debug for BanWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BanWish")
            .field("peer", &self.peer)
            .field("offence", &self.offence)
            .finish_non_exhaustive()
    }
}

/// Where wishes wait for somebody who takes them to the filter. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BanQueue(mpsc::Sender<BanWish>);

impl BanQueue {
    /// How many wishes can wait. A filter that is away while a crowd offends must not cost memory without end; what finds no room is lost,
    /// and asked for again at the source's next offence.
    pub const ROOM: usize = 1024;

    /// An empty queue, and its end.
    #[must_use]
    pub fn bounded() -> (Self, mpsc::Receiver<BanWish>) {
        let (sender, receiver) = mpsc::channel(Self::ROOM);
        (Self(sender), receiver)
    }

    /// Puts a wish in, or loses it. Does not wait: a connection is ending.
    pub(super) fn put(&self, wish: BanWish) {
        // Without room, or without anybody who takes it, it comes back and is dropped.
        drop(self.0.try_send(wish));
    }
}

#[cfg(test)]
mod tests {
    use ravelin_rules::policy::SourceBan;

    use super::*;
    use crate::metrics::EdgeMetrics;

    #[test]
    fn the_reason_fits_whatever_the_names() {
        let (queue, _wishes) = BanQueue::bounded();
        let ban = SourceBan {
            offences: 1,
            window: Duration::from_secs(1),
            lasts: Duration::from_secs(1),
        };
        let peer = IpAddr::from([192, 0, 2, 7]);
        for listener in ["a", "a".repeat(63).as_str()] {
            let metrics = EdgeMetrics::new().unwrap().listener(listener);
            let escalation = Escalation::new(listener, ban, queue.clone(), metrics, Instant::now());
            for offence in Offence::ALL {
                let reason = BanWish::new(Arc::clone(&escalation), peer, *offence).reason();
                assert!(reason.len() <= BAN_REASON_BYTES, "{reason}");
                assert!(
                    reason.starts_with('a') && reason.ends_with(offence.word()),
                    "{reason}"
                );
            }
        }
    }
}
