//! ClassBench rule sets and traces (Taylor and Turner, "ClassBench: A Packet Classification Benchmark", 2005).
//!
//! Rule line: `@source/len destination/len sport : sport dport : dport protocol/mask flags/mask`; the flags are ignored.
//! Trace line: source, destination, source port, destination port, protocol, in decimal; the rest is ignored.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use ravelin_datapath::{ClassVerdict, ParseClass};
use ravelin_rules::Policy;
use ravelin_rules::policy::rule::Place;
use ravelin_rules::policy::{
    Action, AddressMatch, ClassVerdicts, Element, Firewall, List, Origin, PortRange, PrefixSet, Protocols,
    Rule, RuleName,
};

use crate::packet::ether;

/// The families that are kept in the fixtures, each at 100, 1,000 and 10,000 rules before redundant ones were removed.
pub const FAMILIES: [&str; 3] = ["acl1", "fw2", "ipc2"];

/// A rule set as a policy: rules alternate between allow and deny, so that a wrong rule is often a wrong verdict. Nothing
/// but rules decides: essentials are off, and spoofed sources and land packets, which the generators make, are judged.
///
/// # Panics
/// When the fixture cannot be read.
#[must_use]
pub fn policy(family: &str, size: usize) -> Policy {
    let file = Arc::new(PathBuf::from(format!("{family}_{size}")));
    let rules = read(&file.display().to_string());
    let rules = rules
        .lines()
        .zip(0..)
        .map(|(line, number)| rule(line, number, &file))
        .collect();
    let classes = [ParseClass::SpoofedSource, ParseClass::Land]
        .into_iter()
        .fold(ClassVerdicts::default(), |classes, class| {
            classes.with(class, ClassVerdict::Judge)
        });
    Policy {
        firewall: Firewall {
            essentials: false,
            classes,
            stateful: false,
            ..Firewall::default()
        },
        rules,
        ..Policy::default()
    }
}

/// The packets of a trace, as frames.
///
/// # Panics
/// When the fixture cannot be read.
#[must_use]
pub fn trace(family: &str, size: usize) -> Vec<Vec<u8>> {
    read(&format!("{family}_{size}_trace"))
        .lines()
        .map(frame)
        .collect()
}

/// One packet for each rule: the lowest values that the rule asks for. An earlier rule may match it first.
///
/// # Panics
/// When a rule's prefixes are not IPv4 prefixes.
#[must_use]
pub fn packets_of(policy: &Policy) -> Vec<Vec<u8>> {
    let first = |condition: &AddressMatch| match &condition.include {
        Some(prefixes) => match prefixes.elements()[0].prefix.network() {
            std::net::IpAddr::V4(address) => address,
            std::net::IpAddr::V6(address) => panic!("ClassBench has no IPv6 prefix such as {address}"),
        },
        None => Ipv4Addr::UNSPECIFIED,
    };
    let port = |ranges: &[PortRange]| ranges.first().map_or(0, |range| range.first);
    let packet = |rule: &Rule| {
        let protocol = match &rule.protocols {
            Protocols::Only(numbers) => numbers[0],
            Protocols::Any => 6,
        };
        header(
            first(&rule.source),
            first(&rule.destination),
            port(&rule.source_ports),
            port(&rule.ports),
            protocol.into(),
        )
    };
    policy.rules.iter().map(packet).collect()
}

fn frame(line: &str) -> Vec<u8> {
    let mut fields = line
        .split_whitespace()
        .map(|field| field.parse::<u32>().expect("a number"));
    let mut field = || fields.next().expect("five fields");
    let (source, destination) = (Ipv4Addr::from_bits(field()), Ipv4Addr::from_bits(field()));
    let mut port = || u16::try_from(field()).expect("a port");
    let (source_port, port) = (port(), port());
    header(source, destination, source_port, port, field())
}

fn header(source: Ipv4Addr, destination: Ipv4Addr, source_port: u16, port: u16, protocol: u32) -> Vec<u8> {
    let ip = ether().ipv4().source(source).destination(destination);
    match protocol {
        6 => ip.tcp(port).with("source-port", source_port.into()),
        17 => ip.udp(port).with("source-port", source_port.into()),
        1 => ip.icmp(8, 0),
        protocol => ip.with("protocol", protocol.into()).payload(8),
    }
    .bytes()
}

fn rule(line: &str, number: u32, file: &Arc<PathBuf>) -> Rule {
    let fields: Vec<&str> = line.trim_start_matches('@').split_whitespace().collect();
    let [
        source,
        destination,
        sport_low,
        ":",
        sport_high,
        dport_low,
        ":",
        dport_high,
        protocol,
        _flags,
    ] = fields[..]
    else {
        panic!("{}:{}: not a rule: {line}", file.display(), number + 1)
    };
    let name = RuleName::parse(&format!("r{number}")).expect("a valid name");
    let action = if number.is_multiple_of(2) {
        Action::Allow
    } else {
        Action::Deny
    };
    let place = Place {
        file: Arc::clone(file),
        line: number + 1,
        column: 1,
    };
    Rule {
        source: addresses(source),
        destination: addresses(destination),
        protocols: protocols(protocol),
        ports: ports(dport_low, dport_high),
        source_ports: ports(sport_low, sport_high),
        ..Rule::new(name, action, place)
    }
}

/// A prefix of length 0 stays an IPv4 prefix: ClassBench rules do not reach IPv6.
fn addresses(text: &str) -> AddressMatch {
    let prefix: IpNet = text.parse().expect("a prefix");
    AddressMatch::among(PrefixSet::new(vec![Element {
        prefix: prefix.trunc(),
        expires: None,
        origin: Origin {
            list: Arc::new(List::default()),
            line: 0,
        },
    }]))
}

fn protocols(text: &str) -> Protocols {
    let number =
        |text: &str| u8::from_str_radix(text.trim_start_matches("0x"), 16).expect("a hexadecimal byte");
    match text
        .split_once('/')
        .map(|(value, mask)| (number(value), number(mask)))
    {
        Some((_, 0)) => Protocols::Any,
        Some((value, 0xff)) => Protocols::Only(vec![value]),
        other => panic!("not a protocol: {other:?}"),
    }
}

fn ports(low: &str, high: &str) -> Vec<PortRange> {
    match (low.parse().expect("a port"), high.parse().expect("a port")) {
        (0, u16::MAX) => vec![],
        (first, last) => vec![PortRange { first, last }],
    }
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/classbench")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
