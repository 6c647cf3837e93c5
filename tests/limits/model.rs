//! What the limits of a listener are, said in another way: levels that rise, lists of who waits. No governor, no locks, no tables.

use std::collections::VecDeque;

use ravelin_daemon::metrics::labels::Refusal;

/// In nanoseconds: a token is `period` of them, and one drips in each nanosecond.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) period: u128,
    pub(crate) full: u128,
    pub(crate) level: u128,
    pub(crate) at: u128,
    pub(crate) refusal: Refusal,
}

/// A source, a network, or the listener.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) buckets: Vec<Bucket>,
    pub(crate) cap: Option<(u32, Refusal)>,
    pub(crate) open: u32,
    pub(crate) line: VecDeque<usize>,
}

/// All accounts by number, `delay.max` and `delay.queue`, and how many wait.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) accounts: Vec<Account>,
    pub(crate) delay: Option<(u128, usize)>,
    pub(crate) waiting: usize,
}

impl Model {
    /// A connection of a source, a network and the listener: `Ok(true)` goes on, `Ok(false)` waits.
    pub(crate) fn arrive(&mut self, id: usize, who: [usize; 3], now: u128) -> Result<bool, Refusal> {
        let [source, network, listener] = who;
        for account in [listener, source, network] {
            let Account { cap, open, .. } = &self.accounts[account];
            if let Some((_, refusal)) = cap.filter(|(cap, _)| open >= cap) {
                return Err(refusal);
            }
        }
        let before = self.accounts[source].line.len();
        match (self.wait(source, before, now), self.delay) {
            (Some(wait), Some((most, _))) if wait > most => return Err(Refusal::DelayTooLong),
            (Some(_), Some((_, queue))) if self.waiting >= queue => return Err(Refusal::QueueFull),
            (Some(_), Some(_)) => self.accounts[source].line.push_back(id),
            _ => self.spend(who, now)?,
        }
        let waits = self.accounts[source].line.len() - before;
        self.waiting += waits;
        who.iter().for_each(|account| self.accounts[*account].open += 1);
        Ok(waits == 0)
    }

    /// How long one with so many before it has to wait; `None`: not at all.
    fn wait(&mut self, source: usize, before: usize, now: u128) -> Option<u128> {
        let bucket = self.accounts[source]
            .buckets
            .iter_mut()
            .find(|bucket| bucket.refusal == Refusal::Rate)?;
        let lacks = ((before as u128 + 1) * bucket.period).saturating_sub(bucket.rise(now));
        (before > 0 || lacks > 0).then_some(lacks)
    }

    /// The first in line asks for its turn. `None`: it has not come.
    pub(crate) fn turn(&mut self, id: usize, who: [usize; 3], now: u128) -> Option<Result<(), Refusal>> {
        if self.accounts[who[0]].line.front() != Some(&id) || self.wait(who[0], 0, now).is_some() {
            return None;
        }
        self.leave(id, who);
        Some(self.spend(who, now))
    }

    /// Takes one token from every bucket, or none from any.
    fn spend(&mut self, who: [usize; 3], now: u128) -> Result<(), Refusal> {
        let empty = |bucket: &mut Bucket| bucket.rise(now) < bucket.period;
        for account in who {
            let mut buckets = self.accounts[account].buckets.iter_mut();
            if let Some(refusal) = buckets.find_map(|bucket| empty(bucket).then_some(bucket.refusal)) {
                return Err(refusal);
            }
        }
        for account in who {
            self.accounts[account]
                .buckets
                .iter_mut()
                .for_each(|bucket| bucket.level -= bucket.period);
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self, id: usize, who: [usize; 3]) {
        self.accounts[who[0]].line.retain(|waiting| *waiting != id);
        self.waiting -= 1;
    }

    pub(crate) fn close(&mut self, who: [usize; 3]) {
        who.iter().for_each(|account| self.accounts[*account].open -= 1);
    }
}

impl Bucket {
    fn rise(&mut self, now: u128) -> u128 {
        self.level = (self.level + (now - self.at)).min(self.full);
        self.at = now;
        self.level
    }
}
