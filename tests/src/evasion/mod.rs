//! Tricks to get past a filter: what Ravelin says of each packet, and what becomes of the same frames at a host with nftables.
//!
//! `tests/fixtures/evasion/*.toml` → **rows** → the suite `evasion` → `docs/evasion.md`.

pub mod nftables;
pub mod page;
mod table;

pub use table::{Row, Step, all, host};
