//! How an operator talks to a running half, and the edge to the filter: one JSON object a line over a unix socket.
//!
//! command line, edge → `client` → **`control`** → `server` → `runtime`. Who may do what is decided by the peer's
//! credentials, read by the kernel, never by anything the peer says. Must not know how an action is carried out.

pub mod action;
pub mod bans;
pub mod client;
mod edge_bans;
pub mod handover;
pub mod peer;
pub mod protocol;
pub mod server;

pub use action::Action;
pub use protocol::Answer;
