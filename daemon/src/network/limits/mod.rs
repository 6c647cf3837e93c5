//! Limits from this side: the buckets that the kernel's programs take from, read, listed and swept.
//!
//! `pins` → **`LimitTable`** → listing, sweep. What is taken is decided in `ravelin-datapath`.

pub mod numbers;
pub mod table;

pub use table::{LimitTable, Listed};
