//! The packet path of Ravelin, written once for three hosts.
//!
//! The same code runs in the XDP program, in `ravelin explain`, and in every property test. It knows neither a kernel
//! nor a runtime: bytes come through [`Frame`], tables through [`Tables`]. `docs/semantics.md` says what it must decide.

#![no_std]
#![forbid(unsafe_code)]

pub mod verdict;

pub use verdict::{ClassSet, ClassVerdict, Decision, ParseClass, Reason, Verdict};
