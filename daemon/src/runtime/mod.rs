//! Start order, stop order, reloads, privileges: what makes a process of the layers.
//!
//! command line → **`runtime`** → `network` (filter) or `transport` (edge), and `control` for both. The one place that knows
//! signals, files that change, and the service manager.

mod activation;
mod amend;
mod answers;
mod applier;
mod ban_requests;
mod bans;
pub mod edge;
pub mod filter;
mod live;
mod logging;
mod notify;
mod reload;
pub mod run;
mod sandbox;
mod shutdown;
mod state;
mod take_over;

pub use edge::EdgeError;
pub use filter::FilterError;
