//! The pace of one direction of a relayed connection: it reads when the buckets of bytes say so.
//!
//! bandwidth → **pace** → relay. A direction that must wait does not read, so the sender's window fills up and it waits too; no byte is
//! lost. Without a limit it is one branch a read.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use prometheus::IntCounter;
use tokio::io::{AsyncRead, ReadBuf};

use super::limit::{Bandwidth, ByteBucket, ByteTurn, QUANTUM};
use crate::metrics::ListenerMetrics;
use crate::metrics::labels::Delay;

/// How fast one direction may go.
pub(super) struct Pace(Option<Box<Limited>>);

struct Limited {
    buckets: [Option<ByteBucket>; 2],
    /// There only while the direction wants to read and may not.
    turn: Option<Pin<Box<dyn Future<Output = Turns> + Send>>>,
    observe: bool,
    pauses: IntCounter,
}

/// One of each bucket.
type Turns = [Option<ByteTurn>; 2];

impl Pace {
    /// Both directions of a connection of `client`: they share its buckets.
    pub(super) fn both(
        bandwidth: Option<&Bandwidth>,
        client: IpAddr,
        observe: bool,
        metrics: &ListenerMetrics,
    ) -> [Self; 2] {
        let Some(bandwidth) = bandwidth else {
            return [Self(None), Self(None)];
        };
        let buckets = bandwidth.buckets(client);
        let pauses = if observe {
            metrics.would_delay(Delay::Bandwidth)
        } else {
            &metrics.pauses
        };
        [(); 2].map(|()| {
            Self(Some(Box::new(Limited {
                buckets: buckets.clone(),
                turn: None,
                observe,
                pauses: pauses.clone(),
            })))
        })
    }

    /// As `reader.poll_read`, when it is time; pending until then.
    pub(super) fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(limited) = &mut self.0 else {
            return Pin::new(reader).poll_read(cx, into);
        };
        // Dropped when there is nothing to read: others may go first then.
        let turns = if limited.observe {
            [None, None]
        } else {
            ready!(limited.poll_turns(cx))
        };
        let most = QUANTUM.min(into.remaining());
        let mut part = ReadBuf::new(into.initialize_unfilled_to(most));
        ready!(Pin::new(reader).poll_read(cx, &mut part))?;
        let bytes = part.filled().len();
        into.advance(bytes);
        for turn in turns.into_iter().flatten() {
            turn.spend(bytes);
        }
        if limited.observe {
            limited.observe(bytes);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether it waits for its time: that is not idleness.
    pub(super) fn is_paused(&self) -> bool {
        self.0.as_ref().is_some_and(|limited| limited.turn.is_some())
    }

    /// It reads no more: a turn that came to it would be kept from others.
    pub(super) fn leave(&mut self) {
        self.0 = None;
    }
}

impl Limited {
    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<Turns> {
        if self.turn.is_none()
            && let Some(turns) = self.try_turns()
        {
            return Poll::Ready(turns);
        }
        let turn = self
            .turn
            .get_or_insert_with(|| Box::pin(turns(self.buckets.clone(), self.pauses.clone())));
        let turns = ready!(turn.as_mut().poll(cx));
        self.turn = None;
        Poll::Ready(turns)
    }

    fn try_turns(&self) -> Option<Turns> {
        let mut turns = [None, None];
        for (turn, bucket) in turns.iter_mut().zip(&self.buckets) {
            if let Some(bucket) = bucket {
                *turn = Some(bucket.try_turn()?);
            }
        }
        Some(turns)
    }

    fn observe(&self, bytes: usize) {
        // Each bucket is asked: one that would have made it wait must not keep the other's count from moving.
        let waits = self.buckets.iter().flatten().map(|bucket| bucket.observe(bytes));
        if waits.fold(false, |any, waits| any | waits) {
            self.pauses.inc();
        }
    }
}

/// The connection's turn first, then its source's: whoever waits for the source holds up nobody but his own other direction.
async fn turns(buckets: [Option<ByteBucket>; 2], pauses: IntCounter) -> Turns {
    let mut turns = [None, None];
    for (turn, bucket) in turns.iter_mut().zip(&buckets) {
        if let Some(bucket) = bucket {
            *turn = Some(bucket.turn(&pauses).await);
        }
    }
    turns
}
