//! Who waits for a turn at one account, first come first served.
//!
//! limiter → **line** → wait. Nobody in it has taken anything: the first one takes from the bucket when its turn has come, and calls
//! the next. So whoever leaves, from whatever place, leaves nothing behind, and all behind it move forward. One timer a line.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

/// A line.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

/// A place in a line.
#[derive(Debug)]
pub(super) struct Ticket {
    number: u64,
    /// Told when it has become the first.
    called: Arc<Notify>,
}

impl Line {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// A place at the end.
    pub(super) fn join(&mut self) -> Ticket {
        let ticket = Ticket {
            number: self.next,
            called: Arc::default(),
        };
        self.next += 1;
        self.waiting.insert(ticket.number, Arc::clone(&ticket.called));
        ticket
    }

    /// Whether nobody is before it.
    pub(super) fn is_first(&self, ticket: &Ticket) -> bool {
        self.waiting
            .first_key_value()
            .is_some_and(|(first, _)| *first == ticket.number)
    }

    /// Gives the place up; who is first now is told.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        let was_first = self.is_first(ticket);
        self.waiting.remove(&ticket.number);
        if was_first && let Some((_, called)) = self.waiting.first_key_value() {
            called.notify_one();
        }
    }
}

impl Ticket {
    /// Ready when it has become the first. Not before it is asked for the first time whether it is.
    pub(super) async fn called(&self) {
        self.called.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_leaves_the_others_keep_their_order() {
        let mut line = Line::default();
        let tickets: Vec<_> = (0..5).map(|_| line.join()).collect();
        assert!(line.is_first(&tickets[0]) && !line.is_first(&tickets[1]));
        for gone in [2, 0, 0, 4] {
            line.leave(&tickets[gone]);
        }
        assert_eq!(line.len(), 2);
        assert!(line.is_first(&tickets[1]) && !line.is_first(&tickets[3]));
        line.leave(&tickets[1]);
        assert!(line.is_first(&tickets[3]));
    }

    #[tokio::test]
    async fn who_becomes_the_first_is_called() {
        let mut line = Line::default();
        let tickets: Vec<_> = (0..3).map(|_| line.join()).collect();
        line.leave(&tickets[1]);
        line.leave(&tickets[0]);
        tickets[2].called().await;
    }
}
