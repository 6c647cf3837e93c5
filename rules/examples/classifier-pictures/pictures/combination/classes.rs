//! Rows of a policy → the classes of each dimension: values that satisfy the same rows are one class.
//!
//! Slow and obvious: values of which some row asks are tried one after the other. Knows separate prefixes, protocols and
//! destination ports, which is all that the policy of the picture asks for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ravelin_rules::ir::{Addresses, Row};

/// What the dimensions ask of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) protocol: u8,
    pub(super) port: u16,
}

/// Values that no rule tells apart.
pub(super) struct Class {
    /// Which values, in words.
    pub(super) meaning: String,
    /// For each row, whether they satisfy it.
    pub(super) meets: Vec<bool>,
}

/// The classes of source, destination or service.
pub(super) struct Dimension {
    pub(super) name: &'static str,
    letter: char,
    asks: Asks,
    pub(super) classes: Vec<Class>,
}

/// Whether a packet satisfies what a row asks of one dimension.
type Asks = fn(&Row, &Packet) -> bool;

impl Dimension {
    /// Source, destination, service.
    pub(super) fn all(rows: &[Row]) -> [Self; 3] {
        let mut source = Self::new("source", 'S', |row, packet| holds(&row.source, packet.source));
        let mut destination = Self::new("destination", 'D', |row, packet| {
            holds(&row.destination, packet.destination)
        });
        let mut service = Self::new("service", 'V', serves);
        for dimension in [&mut source, &mut destination, &mut service] {
            dimension.add(rows, &NOWHERE, "everything else");
        }
        for row in rows {
            for address in first_addresses(&row.source) {
                let packet = Packet {
                    source: address,
                    ..NOWHERE
                };
                source.add(rows, &packet, &addresses(&row.source));
            }
            for address in first_addresses(&row.destination) {
                let packet = Packet {
                    destination: address,
                    ..NOWHERE
                };
                destination.add(rows, &packet, &addresses(&row.destination));
            }
            for protocol in row.protocols.iter().flatten() {
                for port in row.key.iter().flatten() {
                    let packet = Packet {
                        protocol: *protocol,
                        port: port.first,
                        ..NOWHERE
                    };
                    service.add(rows, &packet, &self::service(row));
                }
            }
        }
        [source, destination, service]
    }

    fn new(name: &'static str, letter: char, asks: Asks) -> Self {
        Self {
            name,
            letter,
            asks,
            classes: Vec::new(),
        }
    }

    /// The class of the packet, if it is a new one.
    fn add(&mut self, rows: &[Row], packet: &Packet, meaning: &str) {
        let meets: Vec<bool> = rows.iter().map(|row| (self.asks)(row, packet)).collect();
        if self.classes.iter().all(|class| class.meets != meets) {
            let meaning = meaning.to_owned();
            self.classes.push(Class { meaning, meets });
        }
    }

    pub(super) fn class_of(&self, rows: &[Row], packet: &Packet) -> usize {
        let meets: Vec<bool> = rows.iter().map(|row| (self.asks)(row, packet)).collect();
        self.classes
            .iter()
            .position(|class| class.meets == meets)
            .unwrap_or(0)
    }

    pub(super) fn label(&self, class: usize) -> String {
        format!("{}{class}", self.letter)
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            destination,
            protocol,
            port,
        } = self;
        write!(f, "from {source} to {destination}, {} {port}", word(*protocol))
    }
}

/// What a row asks of addresses, in words.
pub(super) fn addresses(condition: &Option<Arc<Addresses>>) -> String {
    let prefixes: Vec<String> = included(condition)
        .map(|prefix| prefix.to_string().trim_end_matches("/32").to_owned())
        .collect();
    if prefixes.is_empty() {
        ANY.to_owned()
    } else {
        prefixes.join(", ")
    }
}

/// What a row asks of the service, in words.
pub(super) fn service(row: &Row) -> String {
    let protocols = row.protocols.iter().flatten().map(|number| word(*number));
    let ports = row.key.iter().flatten().map(|range| {
        if range.first == range.last {
            range.first.to_string()
        } else {
            format!("{}-{}", range.first, range.last)
        }
    });
    let ports: Vec<String> = ports.collect();
    let words: Vec<String> = protocols.chain([ports.join(", ")]).collect();
    let words = words.join(" ");
    if words.is_empty() { ANY.to_owned() } else { words }
}

fn holds(condition: &Option<Arc<Addresses>>, address: Ipv4Addr) -> bool {
    let mut prefixes = included(condition).peekable();
    prefixes.peek().is_none() || prefixes.any(|prefix| prefix.contains(&IpAddr::V4(address)))
}

fn serves(row: &Row, packet: &Packet) -> bool {
    let protocols = row.protocols.as_ref();
    let ports = row.key.as_ref();
    protocols.is_none_or(|some| some.contains(&packet.protocol))
        && ports.is_none_or(|some| {
            some.iter()
                .any(|range| (range.first..=range.last).contains(&packet.port))
        })
}

fn included(condition: &Option<Arc<Addresses>>) -> impl Iterator<Item = ipnet::IpNet> {
    let set = condition
        .as_ref()
        .and_then(|addresses| addresses.include.as_ref());
    set.into_iter()
        .flat_map(|set| set.elements().iter().map(|element| element.prefix))
}

fn first_addresses(condition: &Option<Arc<Addresses>>) -> impl Iterator<Item = Ipv4Addr> {
    included(condition).filter_map(|prefix| match prefix.addr() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    })
}

fn word(protocol: u8) -> String {
    match protocol {
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        number => number.to_string(),
    }
}

/// What no row asks for by name.
const NOWHERE: Packet = Packet {
    source: Ipv4Addr::UNSPECIFIED,
    destination: Ipv4Addr::UNSPECIFIED,
    protocol: 255,
    port: 0,
};
const ANY: &str = "any";
