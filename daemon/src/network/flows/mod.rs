//! Flows from this side: the tables of what the kernel's programs remember, read, swept, and filled at the start.
//!
//! `pins` → **`FlowTable`** → listing, sweep. What is remembered is decided in `ravelin-datapath`.

pub mod epoch;
pub mod grace;
pub mod sockets;
pub mod table;

pub use epoch::{first_epoch, is_last_epoch};
pub use table::{FlowTable, Listed};
