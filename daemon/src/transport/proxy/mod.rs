//! The PROXY protocol: one connection tells the next who is at the other end of it.
//!
//! accept → **proxy** → limits; handshake → **proxy** → upstream. `parse` reads headers, `introduce` waits for the one of a trusted proxy,
//! `encode` and `encode_v1` write those for upstreams. <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

mod encode;
mod encode_v1;
mod introduce;
mod parse;

pub(super) use encode::{ProxyHeader, Secured, own_connection};
pub(super) use introduce::introduce;
pub use parse::{Ends, Header, MAX_V1_BYTES, MAX_V2_BYTES, Origin, Unparsed, parse};
