//! Listening sockets that somebody else has opened: the service manager, or the edge that this one takes over from.
//!
//! descriptors → **inherited** → listen. A descriptor is what it is asked to be (a TCP socket that listens) or it is closed; which
//! listener it is for, its own address says.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use socket2::{Domain, Socket, Type};

/// Sockets by the address they listen on; several may share one.
#[derive(Debug, Default)]
pub struct Inherited(HashMap<SocketAddr, Vec<TcpListener>>);

impl Inherited {
    /// The sockets among `descriptors`. What is none is closed, with a warning.
    ///
    /// # Errors
    ///
    /// When a socket must not be served from: it would let in clients that the policy does not speak of.
    pub fn sort(descriptors: Vec<OwnedFd>) -> Result<Self, InheritedError> {
        let mut sockets = Self::default();
        for descriptor in descriptors {
            let socket = Socket::from(descriptor);
            match listening_on(&socket) {
                Ok(Some(address)) => {
                    refuse_dual_stack(&socket, address)?;
                    sockets.0.entry(address).or_default().push(socket.into());
                }
                Ok(None) => tracing::warn!("an inherited descriptor is no TCP socket that listens: closed"),
                Err(error) => tracing::warn!(%error, "an inherited descriptor cannot be used: closed"),
            }
        }
        Ok(sockets)
    }

    /// Takes those that listen on `address`.
    pub(super) fn take(&mut self, address: SocketAddr) -> Option<Vec<TcpListener>> {
        self.0.remove(&address)
    }

    /// Closes what nobody has taken, with a warning for each address.
    pub(super) fn close(&mut self) {
        for (address, sockets) in self.0.drain() {
            tracing::warn!(%address, sockets = sockets.len(), "the policy listens on no such address: inherited socket closed");
        }
    }
}

/// `None`: it is not a TCP socket that listens. Makes it as [`super::listen`] makes those of its own.
fn listening_on(socket: &Socket) -> io::Result<Option<SocketAddr>> {
    // A file is no socket, which the first question finds out.
    let tcp = matches!(socket.domain()?, Domain::IPV4 | Domain::IPV6) && socket.r#type()? == Type::STREAM;
    if !tcp || !socket.is_listener()? {
        return Ok(None);
    }
    socket.set_cloexec(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.local_addr()?.as_socket())
}

/// On `[::]` IPv4 clients would come in too, as addresses that no list of the policy knows, and no option undoes that later.
fn refuse_dual_stack(socket: &Socket, address: SocketAddr) -> Result<(), InheritedError> {
    let both = address.is_ipv6() && address.ip().is_unspecified() && !socket.only_v6().unwrap_or(false);
    if both {
        Err(InheritedError { address })
    } else {
        Ok(())
    }
}

/// Why an inherited socket is not served from.
#[derive(Debug, thiserror::Error)]
#[error(
    "the inherited socket on `{address}` takes IPv4 clients too\nhelp: write `BindIPv6Only=ipv6-only` in the socket unit, and a second `ListenStream=` for IPv4"
)]
pub struct InheritedError {
    /// Where it listens.
    pub address: SocketAddr,
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn sockets_that_listen_are_kept_by_address_and_anything_else_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let twin = listener.try_clone().unwrap();
        let connected = TcpStream::connect(address).unwrap();
        let mut sockets = Inherited::sort(vec![
            UdpSocket::bind("127.0.0.1:0").unwrap().into(),
            File::open("/dev/null").unwrap().into(),
            listener.into(),
            connected.into(),
            twin.into(),
        ])
        .unwrap();
        assert_eq!(sockets.0.len(), 1);
        let taken = sockets.take(address).unwrap();
        assert_eq!(taken.len(), 2);
        let error = taken[1].accept().and_then(|_| taken[1].accept()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(sockets.take(address).is_none());
    }

    #[test]
    fn what_is_left_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut sockets = Inherited::sort(vec![listener.into()]).unwrap();
        sockets.close();
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_socket_for_both_families_is_refused() {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        socket.set_only_v6(false).unwrap();
        socket
            .bind(&"[::]:0".parse::<SocketAddr>().unwrap().into())
            .unwrap();
        socket.listen(1).unwrap();
        let error = Inherited::sort(vec![socket.into()]).unwrap_err();
        assert!(error.to_string().contains("BindIPv6Only"), "{error}");
    }
}
