//! What a limit costs a packet that a rule allows, above the same rule without it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ravelin_daemon::network::bans::never::Never;
use ravelin_datapath::packet::Address;
use ravelin_datapath::wire::{Plane, source_key};
use ravelin_rules::{Direction, TableImage};
use ravelin_tests::packet::ether;
use ravelin_tests::prog_run::{FlowMemory, Kernel, TestPins, interface};

use super::{Replay, Subject, compile, loaded};

/// So many sources take from the limit, by turns.
const SOURCES: [u32; 2] = [1_000, 100_000];

pub(super) fn subjects() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for sources in SOURCES {
        for v6 in [false, true] {
            let family = if v6 { "IPv6" } else { "IPv4" };
            for (what, limit, known) in [
                ("packets of a source", "packets = \"1M/s\"", false),
                ("bytes of a source", "bytes = \"1GB/s\"", false),
                ("packets of a known source", "packets = \"1M/s\"", true),
                (
                    "packets of the rule",
                    "packets = \"10M/s\", burst = 1000000, per = \"rule\"",
                    false,
                ),
            ] {
                let name = format!("{family} {what}, {sources}");
                subjects.push(subject(&name, limit, "", sources, v6, known));
            }
            let budget = "[flood]\nsyn_budget = { rate = \"10M/s\" }\n";
            subjects.push(subject(
                &format!("{family} budget of SYNs, {sources}"),
                "",
                budget,
                sources,
                v6,
                false,
            ));
        }
    }
    subjects
}

fn subject(name: &str, limit: &str, flood: &str, sources: u32, v6: bool, known: bool) -> Subject {
    let rule = |limit: &str, flood: &str| {
        // Only a policy that keeps flows knows sources.
        let known = if known { "true" } else { "false" };
        loaded(&format!(
            "[firewall]\ninterfaces = [\"eth0\"]\nstateful = {known}\n{flood}[[rule]]\nname = \"a\"\naction = \"allow\"\n\
             protocol = \"tcp\"\nports = 443\nstateful = false\n{limit}\n"
        ))
    };
    let limit = if limit.is_empty() {
        String::new()
    } else {
        format!("limit = {{ {limit} }}")
    };
    let (with, without) = (rule(&limit, flood), rule("", ""));
    let (memory, pins) = (FlowMemory::with_room(sources * 2), TestPins::new());
    let of = |policy| {
        [
            compile(policy),
            TableImage::compile(policy, &super::host(policy), Direction::Outbound)
                .expect("a policy of one rule"),
        ]
    };
    let ([inbound, outbound], bare) = (of(&with), of(&without));
    let kernel = Kernel::both([&inbound, &outbound], &memory, &pins, &Never::default());
    if known {
        for number in 0..sources {
            let (plane, address) = match source(number, v6) {
                IpAddr::V4(address) => (Plane::V4, Address::v4(address.octets())),
                IpAddr::V6(address) => (Plane::V6, Address::v6(address.octets())),
            };
            memory.know(source_key(plane, address));
        }
    }
    // All of them once, so that each has its bucket; then some by turns.
    for number in 0..sources {
        kernel.run_often(&frame(number, v6), interface(), 1);
    }
    let asked = (0..sources).step_by(sources.div_ceil(5_000) as usize);
    let frames: Vec<Vec<u8>> = asked.map(|number| frame(number, v6)).collect();
    let bare_memory = FlowMemory::with_room(1);
    let bare = Kernel::both(
        [&bare[0], &bare[1]],
        &bare_memory,
        &TestPins::new(),
        &Never::default(),
    );
    Subject::of(
        name,
        kernel,
        Some(bare),
        Replay::new(&frames, interface()),
        &inbound,
    )
}

fn source(number: u32, v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number) << 64 | 1).into()
    } else {
        Ipv4Addr::from(0x0a00_0000 | number).into()
    }
}

fn frame(number: u32, v6: bool) -> Vec<u8> {
    let (ip, host) = if v6 {
        (ether().ipv6(), "2001:db8:1::9")
    } else {
        (ether().ipv4(), "203.0.113.9")
    };
    ip.source(source(number, v6))
        .destination(host)
        .tcp(443)
        .with("flags", 2)
        .bytes()
}
