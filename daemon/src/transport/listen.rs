//! Listening sockets: one for each worker on one address, so that every core accepts for itself.
//!
//! policy → **listen** → accept.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

/// A socket for each of `workers` that listens on `address`. With port 0 the system chooses one port for all of them.
pub(super) fn listen(address: SocketAddr, workers: &[Handle]) -> io::Result<Vec<TcpListener>> {
    let mut bound = address;
    let mut listeners = Vec::with_capacity(workers.len());
    for worker in workers {
        let socket = bind(bound)?;
        bound = socket.local_addr()?;
        // A socket tells the runtime it is made in when somebody connects.
        let _inside = worker.enter();
        listeners.push(TcpListener::from_std(socket)?);
    }
    Ok(listeners)
}

/// Sockets that were opened elsewhere: all of them, because each may have connections waiting, for `workers` in turn. Where there are
/// fewer than workers, some share one.
pub(super) fn adopt(sockets: Vec<StdListener>, workers: &[Handle]) -> io::Result<Vec<TcpListener>> {
    let shared = sockets
        .iter()
        .cycle()
        .take(workers.len().saturating_sub(sockets.len()));
    let shared = shared
        .map(StdListener::try_clone)
        .collect::<io::Result<Vec<_>>>()?;
    let all = sockets.into_iter().chain(shared).zip(workers.iter().cycle());
    all.map(|(socket, worker)| {
        let _inside = worker.enter();
        TcpListener::from_std(socket)
    })
    .collect()
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
