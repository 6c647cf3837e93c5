//! Sockets and TLS: what was let in by the packet layer is accepted, limited, terminated and relayed.
//!
//! network → **transport** → upstream. Knows the policy's listeners and upstreams and reports to `metrics`; knows nothing of
//! the kernel's tables, of packets, or of what is said inside the relayed bytes.

pub mod limit;
pub mod service;

pub use service::{EdgeHandle, EdgeOptions, EdgeService, LoadPolicy, ServiceError};
