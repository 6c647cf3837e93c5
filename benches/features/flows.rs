//! What flow state costs: a packet that a flow lets through, and one that belongs to none.

use std::net::{Ipv4Addr, Ipv6Addr};

use ravelin_daemon::network::bans::never::Never;
use ravelin_daemon::network::flows::table::now;
use ravelin_datapath::packet::Address;
use ravelin_datapath::wire::{Ends, Flow, Plane, Stage};
use ravelin_rules::{Direction, Policy, TableImage};
use ravelin_tests::packet::ether;
use ravelin_tests::prog_run::{FlowMemory, Kernel, TestPins, interface};

use super::{Replay, Subject, compile, loaded};

/// So many flows in the tables, asked about by turns.
const FLOWS: [u32; 2] = [1_000, 100_000];

pub(super) fn subjects() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for flows in FLOWS {
        for (protocol, name) in [(6, "TCP"), (17, "UDP")] {
            for v6 in [false, true] {
                let family = if v6 { "IPv6" } else { "IPv4" };
                for known in [true, false] {
                    let what = if known { "of a flow" } else { "of none" };
                    let name = format!("{family} {name} {what}, {flows}");
                    subjects.push(subject(&name, flows, protocol, v6, known));
                }
            }
        }
    }
    subjects
}

fn subject(name: &str, flows: u32, protocol: u8, v6: bool, known: bool) -> Subject {
    let stateful = loaded("[firewall]\ninterfaces = [\"eth0\"]\n");
    let stateless = loaded("[firewall]\nstateful = false\ninterfaces = [\"eth0\"]\n");
    let (memory, pins) = (FlowMemory::with_room(flows * 2), TestPins::new());
    let (inbound, outbound) = (compile(&stateful), outbound(&stateful));
    let kernel = Kernel::both([&inbound, &outbound], &memory, &pins, &Never::default());
    let flow = Flow {
        seen: now(),
        next: 1,
        acked: 1,
        stage: Stage::Established,
        by_remote: false,
        marks: 3,
        epoch: 0,
        rule: 0,
        remote_fin: 0,
    };
    memory.enter((0..flows).map(|number| (ends(number, protocol, v6), flow)));
    let asked = (0..flows).step_by(flows.div_ceil(5_000) as usize);
    let frames: Vec<Vec<u8>> = asked.map(|number| frame(number, protocol, v6, known)).collect();
    Subject::of(
        name,
        kernel,
        Some(Kernel::load(&compile(&stateless))),
        Replay::new(&frames, interface()),
        &inbound,
    )
}

fn outbound(policy: &Policy) -> TableImage {
    TableImage::compile(policy, &super::host(policy), Direction::Outbound).expect("a policy without rules")
}

fn remote(number: u32, v6: bool) -> (Address, String) {
    if v6 {
        let address = Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number));
        (Address::v6(address.octets()), address.to_string())
    } else {
        let address = Ipv4Addr::from(0x0a00_0000 | number);
        (Address::v4(address.octets()), address.to_string())
    }
}

fn local(v6: bool) -> (Address, &'static str) {
    if v6 {
        let text = "2001:db8:1::9";
        (
            Address::v6(text.parse::<Ipv6Addr>().expect("an address").octets()),
            text,
        )
    } else {
        (Address::v4([203, 0, 113, 9]), "203.0.113.9")
    }
}

fn ends(number: u32, protocol: u8, v6: bool) -> Ends {
    Ends {
        plane: if v6 { Plane::V6 } else { Plane::V4 },
        protocol,
        remote: remote(number, v6).0,
        local: local(v6).0,
        remote_port: 443,
        local_port: 40_000,
    }
}

fn frame(number: u32, protocol: u8, v6: bool, known: bool) -> Vec<u8> {
    let ip = if v6 { ether().ipv6() } else { ether().ipv4() };
    let ip = ip.source(&*remote(number, v6).1).destination(local(v6).1);
    let port = if known { 443 } else { 444 };
    match protocol {
        6 => ip.tcp(40_000).with("flags", 0x10),
        _ => ip.udp(40_000),
    }
    .with("source-port", port)
    .bytes()
}
