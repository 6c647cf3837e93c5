//! When a relayed connection has been quiet for too long.
//!
//! policy → **timers** → relay. One timer a connection. Bytes do not touch it: it looks at the clock when it fires and goes back to
//! sleep for what is left.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use crate::metrics::labels::Closure;

/// How long a connection may be quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) struct Timeouts {
    /// Without a byte in either direction.
    pub(in crate::transport) idle: Duration,
    /// The same once a side has finished sending. Without it, a peer that never closes its half would keep both sockets for `idle`.
    pub(in crate::transport) close: Duration,
}

/// The timer of one connection.
pub(super) struct Timers {
    timeouts: Timeouts,
    half_closed: bool,
    last: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Timers {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            half_closed: false,
            last: Instant::now(),
            sleep: Box::pin(sleep(timeouts.idle)),
        }
    }

    /// Ready, with the name of the timeout, when nothing has moved for the whole of it. `progress`: something has, since the last poll.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, progress: bool, half_closed: bool) -> Poll<Closure> {
        if progress {
            self.last = Instant::now();
        }
        if half_closed && !self.half_closed {
            self.half_closed = true;
            // It sleeps for the longer time.
            let due = self.due();
            self.sleep.as_mut().reset(due.into());
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let due = self.due();
            if due <= Instant::now() {
                return Poll::Ready(self.limit().1);
            }
            self.sleep.as_mut().reset(due.into());
        }
    }

    fn due(&self) -> Instant {
        self.last + self.limit().0
    }

    /// The timeout that ends first.
    fn limit(&self) -> (Duration, Closure) {
        let Timeouts { idle, close } = self.timeouts;
        if self.half_closed && close < idle {
            (close, Closure::CloseTimeout)
        } else {
            (idle, Closure::IdleTimeout)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(future)
    }

    async fn waits(timers: &mut Timers, progress: bool) -> bool {
        poll_fn(|cx| Poll::Ready(timers.poll(cx, progress, true).is_pending())).await
    }

    fn ended(idle: u64, close: u64, half_closed: bool) -> Closure {
        block_on(async {
            let timeouts = Timeouts {
                idle: Duration::from_millis(idle),
                close: Duration::from_millis(close),
            };
            let mut timers = Timers::new(timeouts);
            poll_fn(|cx| timers.poll(cx, false, half_closed)).await
        })
    }

    #[test]
    fn the_name_is_that_of_the_timeout_that_ends_first() {
        const NEVER: u64 = 3_600_000;
        assert_eq!(ended(1, NEVER, false), Closure::IdleTimeout);
        assert_eq!(ended(1, NEVER, true), Closure::IdleTimeout);
        assert_eq!(ended(NEVER, 1, true), Closure::CloseTimeout);
    }

    #[test]
    fn a_byte_starts_the_time_anew() {
        block_on(async {
            let timeouts = Timeouts {
                idle: Duration::from_secs(3600),
                close: Duration::from_millis(300),
            };
            let mut timers = Timers::new(timeouts);
            let began = Instant::now();
            assert!(waits(&mut timers, false).await);
            sleep(Duration::from_millis(200)).await;
            assert!(waits(&mut timers, true).await);
            poll_fn(|cx| timers.poll(cx, false, true)).await;
            assert!(began.elapsed() >= Duration::from_millis(500));
        });
    }
}
