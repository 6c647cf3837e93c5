//! The connections that the host's sockets have now: sock_diag(7), over netlink.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, TCP_LISTEN};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

/// A connection of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// TCP or UDP, by number.
    pub protocol: u8,
    /// This end.
    pub local: SocketAddr,
    /// The other one.
    pub remote: SocketAddr,
    /// Whether a socket listens on this end's port: the other one has opened it, then.
    pub accepted: bool,
}

/// The TCP connections and the connected UDP sockets of this network namespace.
///
/// # Errors
///
/// What the kernel said.
pub fn connections() -> io::Result<Vec<Connection>> {
    let mut all = Vec::new();
    for protocol in [IPPROTO_TCP, IPPROTO_UDP] {
        let mut sockets = Vec::new();
        for family in [AF_INET, AF_INET6] {
            sockets.extend(ask(family, protocol)?);
        }
        let listening: HashSet<u16> = sockets
            .iter()
            .filter(|socket| protocol == IPPROTO_TCP && socket.header.state == TCP_LISTEN)
            .map(|socket| socket.header.socket_id.source_port)
            .collect();
        let connected = sockets.iter().filter_map(|socket| {
            let id = &socket.header.socket_id;
            // An IPv4 connection of a socket that listens on both families.
            let end = |address: IpAddr, port| SocketAddr::new(address.to_canonical(), port);
            (id.destination_port != 0 && !id.destination_address.is_unspecified()).then(|| Connection {
                protocol,
                local: end(id.source_address, id.source_port),
                remote: end(id.destination_address, id.destination_port),
                accepted: listening.contains(&id.source_port),
            })
        });
        all.extend(connected.filter(|connection| !connection.remote.ip().is_loopback()));
    }
    Ok(all)
}

/// Every socket of a family and a protocol.
fn ask(family: u8, protocol: u8) -> io::Result<Vec<InetResponse>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    setsockopt(
        &netlink,
        sockopt::ReceiveTimeout,
        &TimeVal::new(PATIENCE_SECONDS, 0),
    )?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: if family == AF_INET {
            SocketId::new_v4()
        } else {
            SocketId::new_v6()
        },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())?;

    let mut sockets = Vec::new();
    let mut buffer = vec![0; MESSAGE_BYTES];
    loop {
        let length = recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut left = buffer.get(..length).unwrap_or_default();
        while !left.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(left).map_err(io::Error::other)?;
            let step = usize::try_from(message.header.length)
                .unwrap_or(0)
                .next_multiple_of(4);
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(socket)) => sockets.push(*socket),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::Done(_) => return Ok(sockets),
                _ => {}
            }
            if step == 0 || sockets.len() > MOST {
                return Ok(sockets);
            }
            left = left.get(step..).unwrap_or_default();
        }
    }
}

/// The kernel answers at once, or something is broken.
const PATIENCE_SECONDS: i64 = 5;
/// The kernel fills messages of a page or two.
const MESSAGE_BYTES: usize = 1 << 16;
/// More connections than flow tables hold.
const MOST: usize = 1 << 20;
