//! The oracle's memory of datagrams in fragments: section 10 of `docs/semantics.md`.

use std::net::IpAddr;

use ravelin_datapath::Verdict;

use crate::policy::Direction;

/// What names a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    pub(super) direction: Direction,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// In IPv4 alone.
    pub(super) protocol: Option<u8>,
    pub(super) id: u32,
}

#[derive(Clone, Debug)]
struct Begun {
    datagram: Datagram,
    at: u64,
    verdict: Verdict,
    /// Units of 8 bytes behind which a later fragment may begin.
    judged: usize,
}

/// The datagrams whose first fragment has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Fragments(Vec<Begun>);

impl Fragments {
    pub(super) fn first(&mut self, datagram: Datagram, now: u64, verdict: Verdict, judged: usize) {
        let known = |begun: &Begun| begun.datagram == datagram && begun.is_there(now);
        let before = self.0.iter().position(known).map(|at| self.0.remove(at));
        match (before, verdict) {
            (None, Verdict::Deny) => {}
            (Some(before), Verdict::Deny) => self.0.push(Begun { verdict, ..before }),
            (before, Verdict::Allow) => {
                self.0.retain(|begun| begun.datagram != datagram);
                let (verdict, at_least) =
                    before.map_or((Verdict::Allow, 0), |before| (before.verdict, before.judged));
                self.0.push(Begun {
                    datagram,
                    at: now,
                    verdict,
                    judged: judged.max(at_least),
                });
            }
        }
    }

    /// The verdict of the datagram's first fragment.
    pub(super) fn follow(&mut self, datagram: &Datagram, now: u64, offset: u16) -> Option<Verdict> {
        let begun = self.0.iter_mut().find(|begun| begun.datagram == *datagram)?;
        if !begun.is_there(now) {
            return None;
        }
        if usize::from(offset) < begun.judged {
            begun.verdict = Verdict::Deny;
        }
        Some(begun.verdict)
    }
}

impl Begun {
    fn is_there(&self, now: u64) -> bool {
        now.saturating_sub(self.at) < 30_000_000_000
    }
}
