//! The connections that are served now: counted, so that a stop can wait for them, and cut when it may wait no longer.

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
    cut: watch::Sender<bool>,
}

/// Told to a connection: stop now.
pub(super) struct Cut(watch::Receiver<bool>);

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
            cut: watch::Sender::new(false),
        }
    }

    /// Runs a connection as a task of its own.
    pub(super) fn spawn<F, S>(&self, serve: S)
    where
        S: FnOnce(Cut) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        self.count.open.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(Arc::clone(&self.count));
        let connection = serve(Cut(self.cut.subscribe()));
        tokio::spawn(async move {
            connection.await;
            drop(counted);
        });
    }

    /// Waits until no connection is left, at most for `deadline`, then cuts the rest; says how many those were.
    pub(super) async fn drain(&self, deadline: Duration) -> usize {
        if timeout(deadline, self.empty()).await.is_ok() {
            return 0;
        }
        let left = self.count.open.load(Ordering::Acquire);
        self.cut.send_replace(true);
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

impl Cut {
    /// Ready when the connection is to stop.
    pub(super) async fn received(&mut self) {
        // An edge that is gone cuts its connections too.
        drop(self.0.wait_for(|cut| *cut).await);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}
