//! The policy compiler: from one TOML file to the tables the packet path reads.
//!
//! `Document → Policy → Ir → TableImage`, every stage a type. No sockets, no kernel, no async runtime: another program
//! could use this crate to check, explain or compile a policy.

#![forbid(unsafe_code)]

mod compile;
pub mod image;
pub mod ir;
pub mod lower;
pub mod policy;
pub mod reference;

pub use compile::CompileError;
pub use image::{SizeReport, TableImage};
pub use policy::{HostFacts, Policy};
