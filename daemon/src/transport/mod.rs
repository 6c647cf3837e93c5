//! Sockets and TLS: what was let in by the packet layer is accepted, limited, terminated and relayed.
//!
//! network → **transport** → upstream. Knows the policy's listeners and upstreams and reports to `metrics`; knows nothing of
//! the kernel's tables, of packets, or of what is said inside the relayed bytes.

mod accept;
mod access_log;
mod ahead;
mod connection;
mod descriptors;
pub mod edge;
pub mod escalation;
mod hello_memory;
pub mod inherited;
pub mod limit;
mod listen;
mod listener;
mod live;
mod open;
mod pace;
pub mod proxy;
mod quiet;
mod relay;
mod review;
mod route;
pub mod service;
pub mod tls;
mod upstream;
mod workers;

pub use access_log::TARGET as ACCESS_LOG;
pub use edge::{Edge, EdgeError, Kept};
pub use escalation::{BanQueue, BanWish};
pub use inherited::{Inherited, InheritedError};
pub use service::{EdgeHandle, EdgeOptions, EdgeService, HandOver, LoadPolicy, ServiceError};
