//! The connections that are served now: counted, so that a stop can wait for them, cut when it may wait no longer, and told to look
//! again when the policy has changed.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// A handle on all connections of an edge. Cheap to clone.
#[derive(Clone)]
pub(super) struct Live {
    count: Arc<Count>,
    told: watch::Sender<Told>,
}

/// What every connection is told. One value for all of them: no list of connections is walked, each task asks for itself.
#[derive(Clone, Copy, Default)]
struct Told {
    cut: bool,
    /// Of the policy.
    generation: u64,
}

/// What one connection hears of that.
pub(super) struct Orders(watch::Receiver<Told>);

/// Told to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Stop now.
    Cut,
    /// The policy may have changed since it was let in.
    LookAgain,
}

#[derive(Default)]
struct Count {
    open: AtomicUsize,
    none: Notify,
}

struct Counted(Arc<Count>);

impl Live {
    pub(super) fn new() -> Self {
        Self {
            count: Arc::default(),
            told: watch::Sender::new(Told::default()),
        }
    }

    /// Runs a connection as a task of its own.
    pub(super) fn spawn<F, S>(&self, serve: S)
    where
        S: FnOnce(Orders) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        self.count.open.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(Arc::clone(&self.count));
        let mut orders = Orders(self.told.subscribe());
        // What was told between its admission and now it must hear too.
        orders.0.mark_changed();
        let connection = serve(orders);
        tokio::spawn(async move {
            connection.await;
            drop(counted);
        });
    }

    /// Makes every connection ask whether it may stay. Does not wait for them.
    pub(super) fn look_again(&self) {
        self.told.send_modify(|told| told.generation += 1);
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.count.open.load(Ordering::Acquire)
    }

    /// Waits until no connection is left, at most for `deadline`, then cuts the rest; says how many those were.
    pub(super) async fn drain(&self, deadline: Duration) -> usize {
        if timeout(deadline, self.empty()).await.is_ok() {
            return 0;
        }
        let left = self.count.open.load(Ordering::Acquire);
        self.told.send_modify(|told| told.cut = true);
        self.empty().await;
        left
    }

    async fn empty(&self) {
        loop {
            let none = self.count.none.notified();
            if self.count.open.load(Ordering::Acquire) == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Orders {
    /// Waits for the next order; there is one at once. Loses nothing when dropped half-way.
    pub(super) async fn next(&mut self) -> Order {
        match self.0.changed().await {
            Ok(()) if !self.0.borrow_and_update().cut => Order::LookAgain,
            // An edge that is gone cuts its connections too.
            _ => Order::Cut,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// The first orders that a connection of `live` hears, which begins now.
    async fn heard(live: &Live, count: usize) -> Vec<Order> {
        let (told, mut heard) = mpsc::channel(8);
        live.spawn(|mut orders| async move {
            for _ in 0..count {
                let _gone = told.send(orders.next().await).await;
            }
        });
        let mut all = Vec::new();
        while let Some(order) = heard.recv().await {
            all.push(order);
        }
        all
    }

    #[tokio::test]
    async fn a_connection_looks_once_when_it_begins_for_what_was_told_just_before() {
        let live = Live::new();
        assert_eq!(heard(&live, 1).await, [Order::LookAgain]);
        live.look_again();
        assert_eq!(heard(&live, 1).await, [Order::LookAgain]);
        live.drain(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn every_connection_hears_of_every_reload_and_of_the_end() {
        let live = Live::new();
        let (told, mut heard) = mpsc::channel(64);
        for _ in 0..3 {
            let told = told.clone();
            live.spawn(|mut orders| async move {
                loop {
                    let order = orders.next().await;
                    let _gone = told.send(order).await;
                    if order == Order::Cut {
                        return;
                    }
                }
            });
        }
        for _ in 0..2 {
            for _ in 0..3 {
                assert_eq!(heard.recv().await, Some(Order::LookAgain));
            }
            live.look_again();
        }
        for _ in 0..3 {
            assert_eq!(heard.recv().await, Some(Order::LookAgain));
        }
        assert_eq!(live.open(), 3);
        assert_eq!(live.drain(Duration::ZERO).await, 3);
        assert_eq!(live.open(), 0);
        for _ in 0..3 {
            assert_eq!(heard.recv().await, Some(Order::Cut));
        }
    }

    #[tokio::test]
    async fn who_begins_after_the_cut_is_cut() {
        let live = Live::new();
        live.drain(Duration::ZERO).await;
        live.told.send_modify(|told| told.cut = true);
        assert_eq!(heard(&live, 1).await, [Order::Cut]);
    }
}
