//! Limits on what a rule allows, and the budget of SYNs.

use std::fmt;
use std::time::Duration;

use ravelin_datapath::wire::{self, Measure, SourceLengths};

use super::Rate;

/// `limit` of a rule, or `[flood] syn_budget`: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What takes a token.
    pub measure: Measure,
    /// How many tokens come in how much time.
    pub rate: Rate,
    /// Tokens of a full bucket; at most [`Limit::most`].
    pub burst: u64,
    /// `per`: what makes an address a source. `None`: all share one bucket.
    pub sources: Option<SourceLengths>,
}

/// `[flood]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flood {
    /// `syn_budget`, for each interface.
    pub syn_budget: Option<Limit>,
}

impl Limit {
    /// The largest burst that a rate over `per` can have.
    #[must_use]
    pub fn most(per: Duration) -> u64 {
        wire::Limit::most(nanoseconds(per))
    }

    /// The numbers in the tables. `None` when they do not fit, which `check` refuses.
    #[must_use]
    pub fn numbers(&self) -> Option<wire::Limit> {
        let per = nanoseconds(self.rate.per);
        wire::Limit::new(self.rate.count, per, self.burst, self.measure, self.sources)
    }
}

fn nanoseconds(per: Duration) -> u64 {
    u64::try_from(per.as_nanos()).unwrap_or(u64::MAX).max(1)
}

impl Flood {
    /// The budget, for people, and to compare.
    pub(crate) fn budget_words(&self) -> Option<String> {
        let budget = self.syn_budget.as_ref()?;
        Some(format!("{}, per interface", budget.amount("SYNs")))
    }
}

/// `2000 packets/s, 4000 at once, per source/32,64`: for people, and to compare.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.measure {
            Measure::Packets => "packets",
            Measure::Bytes => "bytes",
            Measure::NewFlows => "new flows",
        };
        write!(f, "{}, per ", self.amount(what))?;
        match self.sources {
            Some(SourceLengths { v4, v6 }) => write!(f, "source/{v4},{v6}"),
            None => write!(f, "rule"),
        }
    }
}

impl Limit {
    fn amount(&self, what: &str) -> String {
        let unit = match self.rate.per.as_secs() {
            60 => "m",
            3_600 => "h",
            _ => "s",
        };
        format!("{} {what}/{unit}, {} at once", self.rate.count, self.burst)
    }
}
