//! Sockets and TLS: what was let in by the packet layer is accepted, limited, terminated and relayed.
//!
//! network → **transport** → upstream. Knows the policy's listeners and upstreams and reports to `metrics`; knows nothing of
//! the kernel's tables, of packets, or of what is said inside the relayed bytes.

mod accept;
mod connection;
mod descriptors;
pub mod edge;
pub mod escalation;
pub mod limit;
mod listen;
mod listener;
mod live;
mod pace;
mod proxy_header;
mod quiet;
mod relay;
pub mod service;
pub mod tls;
mod upstream;

pub use edge::{Edge, EdgeError};
pub use escalation::{BanQueue, BanWish};
pub use service::{EdgeHandle, EdgeOptions, EdgeService, LoadPolicy, ServiceError};
