//! At first enforcement, the connections that the host has live on: they are flows that nobody saw begin.

use std::net::{IpAddr, SocketAddr};

use ravelin_datapath::packet::Address;
use ravelin_datapath::wire::{Ends, Flow, Plane, Stage};

use super::sockets::{Connection, connections};
use super::table::{FlowTable, now};

/// Enters the host's connections into the tables, as let in by the tables of `epoch`; says how many there are.
///
/// What cannot be learned or entered is left out, and logged: such a connection goes on with the host's next packet if the rules allow it.
pub fn admit(table: &FlowTable, epoch: u32) -> usize {
    let found = connections().unwrap_or_else(|error| {
        tracing::warn!(%error, "the host's connections cannot be listed; those in which the other side speaks next are cut");
        Vec::new()
    });
    let mut admitted = 0;
    for connection in &found {
        let Some(ends) = ends(connection) else {
            continue;
        };
        if table.enter(ends, &flow(connection, epoch)) {
            admitted += 1;
        }
    }
    if admitted < found.len() {
        tracing::warn!(
            admitted,
            connections = found.len(),
            "no room for all connections of the host"
        );
    }
    admitted
}

fn ends(connection: &Connection) -> Option<Ends> {
    let (local, remote) = (connection.local, connection.remote);
    let plane = match (local, remote) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => Plane::V4,
        (SocketAddr::V6(_), SocketAddr::V6(_)) => Plane::V6,
        _ => return None,
    };
    Some(Ends {
        plane,
        protocol: connection.protocol,
        remote: address(remote.ip()),
        local: address(local.ip()),
        remote_port: remote.port(),
        local_port: local.port(),
    })
}

fn flow(connection: &Connection, epoch: u32) -> Flow {
    Flow {
        seen: now(),
        // Not known: the host's next packet tells.
        next: 0,
        acked: 0,
        stage: Stage::Established,
        by_remote: connection.accepted,
        marks: 0,
        epoch,
        rule: 0,
        remote_fin: 0,
    }
}

fn address(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => Address::v4(address.octets()),
        IpAddr::V6(address) => Address::v6(address.octets()),
    }
}
