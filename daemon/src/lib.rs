//! The Ravelin daemon, in the order of a packet's life: `network` (kernel), `transport` (sockets and TLS).
//!
//! `runtime` starts, reloads and stops them; `control` is how the operator talks to them; `metrics` is what they say of
//! themselves; `cli` is the command line.

#![deny(unsafe_code)]

pub mod causes;
pub mod cli;
pub mod control;
pub mod escape;
pub mod metrics;
pub mod network;
pub mod runtime;
pub mod settings;
pub mod transport;
mod wall_clock;
pub mod watch;
