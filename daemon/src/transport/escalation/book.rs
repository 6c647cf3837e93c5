//! Which sources offend too often: an exact rule over a table with a bound.
//!
//! escalation → **book** → wish. A source is to be banned at an offence when it and those right before it make `offences`, and no more than
//! `window` lies between the first of these and the last. Then it is left alone until an answer has come and the ban is over; after that
//! it begins anew. Reads no clock: times are nanoseconds since a moment of the caller's.

use std::collections::{BTreeSet, HashMap};

use crate::transport::limit::Source;

/// The sources of one listener.
#[derive(Debug)]
pub struct Book {
    offences: usize,
    window: u64,
    capacity: usize,
    records: HashMap<Source, Record>,
    /// The records that count, by the moment from which what they hold matters no more.
    counting: BTreeSet<(u64, Source)>,
    /// The records that are left alone, by the moment at which that ends.
    resting: BTreeSet<(u64, Source)>,
    latest: u64,
}

/// What an offence leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The source is to be banned. Until [`Book::answered`] or [`Book::lost`] it is left alone.
    Ban,
    /// It is remembered.
    Counted,
    /// The source is banned, or is about to be, or cannot be.
    Known,
    /// There is no room to remember it.
    NoRoom,
}

/// One source.
#[derive(Debug)]
struct Record {
    /// The last offences; a ring when there are as many as may be.
    moments: Vec<u64>,
    /// Where the oldest stands in a ring.
    oldest: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its offences are counted; they matter until this moment.
    Counting(u64),
    /// A ban has been asked for, at the offence of this moment.
    Asked(u64),
    /// An answer has come. Left alone until this moment.
    Resting(u64),
}

impl Book {
    /// How many sources are remembered at most, if the offences that are remembered of each leave room for so many. A crowd of sources
    /// (an IPv6 /48 has as many) must not take memory without end. Nor may it push out others: who can come from many addresses would
    /// have his offences forgotten. So newcomers are not counted.
    pub const SOURCES: usize = 65_536;

    /// How many offences are remembered at most: 32 MiB of them.
    pub const MOMENTS: usize = 4_194_304;

    /// Nobody has offended. A source is to be banned for `offences` (at least 1) within `window` nanoseconds.
    #[must_use]
    pub fn new(offences: u32, window: u64) -> Self {
        let capacity = (Self::MOMENTS / offences.max(1) as usize).clamp(1, Self::SOURCES);
        Self::with_capacity(offences, window, capacity)
    }

    /// The same for at most `capacity` sources.
    #[must_use]
    pub fn with_capacity(offences: u32, window: u64, capacity: usize) -> Self {
        Self {
            offences: offences.max(1) as usize,
            window,
            capacity,
            // Keyed at random: a client that can choose its addresses cannot choose its place.
            records: HashMap::new(),
            counting: BTreeSet::new(),
            resting: BTreeSet::new(),
            latest: 0,
        }
    }

    /// `source` has offended.
    pub fn offence(&mut self, source: Source, now: u64) -> Judgement {
        // Threads look at the clock before they come here: one may have been overtaken.
        self.latest = self.latest.max(now);
        let now = self.latest;
        self.forget_some(now);
        match self.records.get(&source).map(|record| record.state) {
            Some(State::Asked(_)) => return Judgement::Known,
            Some(State::Resting(end)) if end > now => return Judgement::Known,
            Some(State::Counting(end)) if end > now => {
                self.counting.remove(&(end, source));
            }
            Some(State::Resting(end) | State::Counting(end)) => self.forget(source, end),
            None => {}
        }
        if !self.records.contains_key(&source) && !self.has_room() {
            return Judgement::NoRoom;
        }
        let record = self.records.entry(source).or_insert_with(Record::new);
        let first = record.add(now, self.offences);
        if first.is_some_and(|first| now.saturating_sub(first) <= self.window) {
            record.state = State::Asked(now);
            return Judgement::Ban;
        }
        let end = matters_until(now, self.window);
        record.state = State::Counting(end);
        self.counting.insert((end, source));
        Judgement::Counted
    }

    /// The ban that was asked for is made or refused: the source is left alone until `end`, and then has a clean record.
    pub fn answered(&mut self, source: Source, end: u64) {
        if let Some(record) = self.records.get_mut(&source)
            && let State::Asked(_) = record.state
        {
            *record = Record::new();
            record.state = State::Resting(end);
            self.resting.insert((end, source));
        }
    }

    /// Nobody heard of the ban that was asked for: its offences stand as they were.
    pub fn lost(&mut self, source: Source) {
        if let Some(record) = self.records.get_mut(&source)
            && let State::Asked(last) = record.state
        {
            let end = matters_until(last, self.window);
            record.state = State::Counting(end);
            self.counting.insert((end, source));
        }
    }

    /// How many sources are remembered, with some that matter no more.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.records.len()
    }

    /// How many sources can be remembered.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Room for one more, if need be that of a source that is left alone: what is lost with it is that it may be asked for once more. Were
    /// it kept, sources that are banned for a week would keep others out for as long.
    fn has_room(&mut self) -> bool {
        if self.records.len() < self.capacity {
            return true;
        }
        let Some((_, source)) = self.resting.pop_first() else {
            return false;
        };
        self.records.remove(&source);
        true
    }

    /// Takes away what matters no more, a few at a time: an offence must not pay for thousands of others. One that comes makes at most one
    /// new record, so what is left behind does not pile up.
    fn forget_some(&mut self, now: u64) {
        for ends in [&mut self.counting, &mut self.resting] {
            if let Some((end, source)) = ends.first().copied()
                && end <= now
            {
                ends.pop_first();
                self.records.remove(&source);
            }
        }
    }

    fn forget(&mut self, source: Source, end: u64) {
        self.counting.remove(&(end, source));
        self.resting.remove(&(end, source));
        self.records.remove(&source);
    }
}

impl Record {
    const fn new() -> Self {
        Self {
            moments: Vec::new(),
            oldest: 0,
            state: State::Counting(0),
        }
    }

    /// One more offence. The first of the last `most`, if there are that many.
    fn add(&mut self, now: u64, most: usize) -> Option<u64> {
        if self.moments.len() < most {
            if self.moments.len() == self.moments.capacity() {
                // Twice as much each time, and never more than can be used: the bound on memory counts on it.
                let more = self.moments.len().clamp(1, most - self.moments.len());
                self.moments.reserve_exact(more);
            }
            self.moments.push(now);
        } else if let Some(oldest) = self.moments.get_mut(self.oldest) {
            *oldest = now;
            self.oldest = (self.oldest + 1) % most;
        }
        let full = self.moments.len() == most;
        self.moments.get(self.oldest).copied().filter(|_| full)
    }
}

/// From then on, an offence at `moment` is too long ago to count with another.
const fn matters_until(moment: u64, window: u64) -> u64 {
    moment.saturating_add(window).saturating_add(1)
}
