//! A connection that was refused, and whether its source is to blame.
//!
//! gate, limiter → **refused** → escalation. What one source can bring upon another is no offence of the other: a full listener, a
//! full queue, the limits of a network, the bucket that newcomers share. Else a crowd could get strangers banned.

use crate::metrics::labels::{Offence, Refusal};

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The check that refused it.
    pub check: Refusal,
    /// What it says against the source; `None`: others may have caused it.
    pub offence: Option<Offence>,
}

impl Refused {
    /// By the address lists.
    #[must_use]
    pub const fn by_address() -> Self {
        Self {
            check: Refusal::Address,
            offence: Some(Offence::Address),
        }
    }

    /// By a limit that many share: the listener's, its queue's, or a network's.
    #[must_use]
    pub const fn by_crowd(check: Refusal) -> Self {
        Self { check, offence: None }
    }

    /// By the account of a source: of its own, or of one that it shares with others. `debt`: what stands in its own bucket may be what
    /// others took from a shared one.
    #[must_use]
    pub const fn by_account(check: Refusal, shared: bool, debt: bool) -> Self {
        let offence = match check {
            _ if shared => None,
            Refusal::SourceConnections => Some(Offence::SourceConnections),
            Refusal::Rate if !debt => Some(Offence::Rate),
            Refusal::HandshakeRate if !debt => Some(Offence::HandshakeRate),
            Refusal::DelayTooLong if !debt => Some(Offence::DelayTooLong),
            _ => None,
        };
        Self { check, offence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_source_does_alone_is_an_offence() {
        let own = |check| Refused::by_account(check, false, false).offence;
        assert_eq!(own(Refusal::Rate), Some(Offence::Rate));
        assert_eq!(own(Refusal::DelayTooLong), Some(Offence::DelayTooLong));
        assert_eq!(own(Refusal::SourceConnections), Some(Offence::SourceConnections));
        assert_eq!(own(Refusal::HandshakeRate), Some(Offence::HandshakeRate));
        assert_eq!(own(Refusal::QueueFull), None);
        let rates = [Refusal::Rate, Refusal::DelayTooLong, Refusal::HandshakeRate];
        for check in rates.into_iter().chain([Refusal::SourceConnections]) {
            assert_eq!(Refused::by_account(check, true, false).offence, None);
        }
        for check in rates {
            assert_eq!(Refused::by_account(check, false, true).offence, None);
        }
        assert_eq!(
            Refused::by_account(Refusal::SourceConnections, false, true).offence,
            Some(Offence::SourceConnections)
        );
        assert_eq!(Refused::by_address().offence, Some(Offence::Address));
        assert_eq!(Refused::by_crowd(Refusal::HandshakeRate).offence, None);
    }
}
