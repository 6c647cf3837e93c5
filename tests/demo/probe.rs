//! A knock on a TCP port.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ravelin_tests::netns::Namespace;

/// What comes of one SYN from `host` to the edge host's ssh port.
pub(crate) fn ssh(host: &Namespace, edge: &str) -> &'static str {
    knock(host, edge, ONE_SYN)
}

/// The same with time for more SYNs: the first packets of all may wait until neighbours have found each other.
pub(crate) fn patient_ssh(host: &Namespace, edge: &str) -> &'static str {
    knock(host, edge, Duration::from_secs(10))
}

fn knock(host: &Namespace, edge: &str, patience: Duration) -> &'static str {
    let address = SocketAddr::new(edge.parse().expect("an address"), 22);
    host.run(|| match TcpStream::connect_timeout(&address, patience) {
        Ok(_) => "connects",
        Err(error) if error.kind() == ErrorKind::TimedOut => "dropped",
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => "refused",
        Err(_) => "failed",
    })
}

/// Below the second after which a SYN is sent again: a knock is one packet, and the counters can be held to it.
const ONE_SYN: Duration = Duration::from_millis(700);
