//! The PROXY protocol: one connection tells the next who is at the other end of it.
//!
//! handshake → **proxy** → upstream. `encode` writes headers. <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

mod encode;

pub(super) use encode::ProxyHeader;
