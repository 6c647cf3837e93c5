//! Listening sockets: several on one address, so that every core accepts for itself.
//!
//! policy → **listen** → accept.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// `count` sockets that listen on `address`. With port 0 the system chooses one port for all of them.
pub(super) fn listen(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let first = bind(address)?;
    let bound = first.local_addr()?;
    let mut listeners = vec![TcpListener::from_std(first)?];
    for _ in 1..count {
        listeners.push(TcpListener::from_std(bind(bound)?)?);
    }
    Ok(listeners)
}

/// Sockets that were opened elsewhere, as many as there are.
pub(super) fn adopt(sockets: Vec<StdListener>) -> io::Result<Vec<TcpListener>> {
    sockets.into_iter().map(TcpListener::from_std).collect()
}

fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 clients come through an IPv4 address of the policy or not at all: `[::]` must not open a second way in,
        // on which they look like IPv6.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it; answers of a few bytes must not wait for an acknowledgement.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Finished connections that wait to be accepted, per socket. Beyond it the kernel drops SYNs instead of keeping more
/// connections for a process that does not keep up.
const BACKLOG: i32 = 1024;
