//! The policy compiler: from one TOML file to the tables the packet path reads.
//!
//! `Document → Policy → Ir → TableImage`, every stage a type. No sockets, no kernel, no async runtime: another program
//! could use this crate to check, explain or compile a policy.

#![forbid(unsafe_code)]

mod change;
mod check;
mod compile;
mod diagnostic;
pub mod diff;
mod document;
pub mod explain;
pub mod image;
pub mod import;
pub mod ir;
mod lint;
mod load;
pub mod lower;
mod manual;
pub mod policy;
pub mod reference;
pub mod replay;
mod schema;
mod source;
mod space;
mod words;

pub use change::{Change, Edit, SetFiles};
pub use check::units::read_duration;
pub use compile::{Amender, Budget, CompileError, Patch, Strategy};
pub use diagnostic::{Code, Diagnostic, Location, Report, Severity, Spot};
pub use image::{SizeReport, TableImage};
pub use lint::Thoroughness;
pub use load::{Loaded, load, load_below, load_beside, load_text};
pub use manual::policy_reference;
pub use policy::{Direction, HostFacts, Policy};
pub use schema::{included_schema, policy_schema};
pub use source::way_in_copy;
