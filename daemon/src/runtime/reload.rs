//! Every wish for a reload goes through one queue of one place: signals, changed files, the control socket, new addresses.
//!
//! wishes → **reload** → one worker. Wishes that come while one waits join it; wishes that come while a reload runs wait for
//! the next, because the running one may have read the files before they changed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::control::Answer;

/// Why a reload is wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The host's addresses or interfaces changed: the same policy again, with new facts.
    Host,
    /// `ravelin reload`.
    Control,
    /// A file changed.
    File,
    /// SIGHUP.
    Signal,
}

/// The queue. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct ReloadQueue {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Option<Batch>>,
    arrived: Notify,
}

/// What is wished for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// The policy is to be read again.
    pub(super) read: bool,
    /// Somebody asked for that, whether a file changed or not.
    pub(super) asked: bool,
    /// The host's facts changed.
    pub(super) host: bool,
}

/// Everything wished for since the last reload began.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) wishes: Wishes,
    /// Who waits for the answer. Bounded by the connections of the control socket.
    answers: Vec<oneshot::Sender<Answer>>,
}

impl ReloadQueue {
    /// Wishes for a reload and does not wait for it.
    pub(super) fn wish(&self, cause: Cause) {
        self.join(cause, None);
    }

    /// Wishes for a reload and waits for what comes of it.
    pub(super) async fn wish_and_wait(&self, cause: Cause) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.join(cause, Some(answer));
        answered.await.unwrap_or_else(|_| Answer::Failed {
            error: "ravelin is stopping".to_owned(),
        })
    }

    /// Waits for the next batch of wishes.
    pub(super) async fn next(&self) -> Batch {
        loop {
            let batch = self
                .shared
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(batch) = batch {
                return batch;
            }
            self.shared.arrived.notified().await;
        }
    }

    fn join(&self, cause: Cause, answer: Option<oneshot::Sender<Answer>>) {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = waiting.get_or_insert_default();
        let wishes = &mut batch.wishes;
        match cause {
            Cause::Host => wishes.host = true,
            Cause::File => wishes.read = true,
            Cause::Control | Cause::Signal => (wishes.read, wishes.asked) = (true, true),
        }
        batch.answers.extend(answer);
        drop(waiting);
        self.shared.arrived.notify_one();
    }
}

impl Batch {
    /// Tells everybody who waits.
    pub(super) fn answer(self, answer: &Answer) {
        for waiting in self.answers {
            // Whoever asked may have gone.
            let _gone = waiting.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Cause, ReloadQueue};

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn wishes_that_come_together_are_one_reload_and_each_gets_the_answer() {
        block_on(async {
            let queue = ReloadQueue::default();
            let asking = [queue.clone(), queue.clone()];
            let [first, second] =
                asking.map(|queue| tokio::spawn(async move { queue.wish_and_wait(Cause::Control).await }));
            queue.wish(Cause::Signal);
            tokio::task::yield_now().await;
            let batch = queue.next().await;
            assert!(batch.wishes.read && batch.wishes.asked && !batch.wishes.host);
            let answer = Answer::Refused {
                diagnostics: "no".to_owned(),
            };
            batch.answer(&answer);
            assert_eq!(first.await.unwrap(), answer);
            assert_eq!(second.await.unwrap(), answer);
        });
    }

    #[test]
    fn new_addresses_do_not_make_the_policy_be_read_again() {
        block_on(async {
            let queue = ReloadQueue::default();
            queue.wish(Cause::Host);
            let batch = queue.next().await;
            assert!(batch.wishes.host && !batch.wishes.read);
        });
    }

    #[test]
    fn a_wish_that_nobody_will_fulfil_is_answered() {
        block_on(async {
            let queue = ReloadQueue::default();
            let waiting = queue.clone();
            let waiting = tokio::spawn(async move { waiting.wish_and_wait(Cause::Control).await });
            tokio::task::yield_now().await;
            drop(queue.next().await);
            assert!(matches!(waiting.await.unwrap(), Answer::Failed { .. }));
        });
    }
}
