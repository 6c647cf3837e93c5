//! The packet path of Ravelin, written once for three hosts.
//!
//! The same code runs in the XDP program, in `ravelin explain`, and in every property test. It knows neither a kernel
//! nor a runtime: bytes come through [`Frame`], tables through [`Tables`]. `docs/semantics.md` says what it must decide.
//!
//! A packet's way: [`judge()`] → `parse` (bytes to facts) → `essentials` → [`ban`] → [`classify`] (facts to the first matching rule)
//! → [`limit`] → [`cookie`] → [`Judgement`].

#![no_std]
#![forbid(unsafe_code)]

pub mod ban;
pub mod classify;
pub mod cookie;
mod direction;
mod essentials;
pub mod flow;
pub mod frame;
pub mod hash_table;
mod judge;
pub mod limit;
pub mod packet;
mod parse;
pub mod tables;
pub mod verdict;
pub mod wire;

pub use ban::{Bans, NoBans};
pub use cookie::HostTcp;
pub use direction::Direction;
pub use flow::{FlowCell, Flows, Memory, Remembering, Stateless};
pub use frame::{Frame, SliceFrame};
pub use judge::{Judgement, Matched, Origin, Witness, judge};
pub use limit::{Bucket, Buckets};
pub use parse::chain;
pub use tables::{Onto, Tables, Window};
pub use verdict::{ClassSet, ClassVerdict, Decision, ParseClass, Reason, Verdict};

/// Judges one frame and tells the decision in the words that the oracle uses too.
///
/// ```
/// use ravelin_datapath::{Onto, Origin, Reason, SliceFrame, Tables, Verdict, Window, decide, wire::Setting};
///
/// /// Tables of a policy without rules that lets nothing in.
/// struct Closed;
/// impl Tables for Closed {
///     fn setting(&self, setting: Setting) -> u32 {
///         match setting { Setting::Default => 1, Setting::ClassesLow => 0x1555_5555, Setting::ClassesHigh => 1, _ => 0 }
///     }
///     fn word(&self, _: u32) -> Option<u32> { None }
///     fn double(&self, _: u32) -> Option<u64> { None }
///     fn doubles<const N: usize>(&self, _: u32) -> Option<[u64; N]> { None }
///     fn window(&self, first: u32, length: u32) -> Option<impl Window> { Onto::new(self, first, length) }
/// }
///
/// let decision = decide(&SliceFrame(&[0; 9]), &Closed, Origin::default());
/// assert_eq!((decision.verdict, decision.reason), (Verdict::Deny, Reason::Truncated));
/// ```
#[inline(always)]
pub fn decide(frame: &impl Frame, tables: &impl Tables, origin: Origin) -> Decision {
    decide_with(frame, tables, &NoBans, &Stateless, origin)
}

/// As [`decide`], in a world with bans, for a packet that others came before.
#[inline(always)]
pub fn decide_with(
    frame: &impl Frame,
    tables: &impl Tables,
    bans: &impl Bans,
    memory: &impl Memory,
    origin: Origin,
) -> Decision {
    let mut seen = ClassSet::default();
    let Judgement {
        verdict,
        reason,
        rule,
        observed,
    } = judge(frame, tables, bans, memory, origin, &mut seen);
    Decision {
        verdict,
        reason,
        rule: rule.rule(),
        observed: observed.rule(),
        seen,
    }
}
