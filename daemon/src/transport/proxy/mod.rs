//! The PROXY protocol: one connection tells the next who is at the other end of it.
//!
//! accept → **proxy** → limits; handshake → **proxy** → upstream. `parse` reads headers, `introduce` waits for the one of a trusted proxy,
//! `encode` writes those for upstreams. <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

mod encode;
mod introduce;
mod parse;

pub(super) use encode::{ProxyHeader, Secured};
pub(super) use introduce::introduce;
pub use parse::{Ends, Header, MAX_V1_BYTES, MAX_V2_BYTES, Origin, Unparsed, parse};
