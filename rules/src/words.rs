//! Boxes of packets in words, as a policy would say them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use crate::HostFacts;
use crate::check::protocol::PROTOCOLS;
use crate::space::{Block, FRAGMENT, Level, Run};

/// A box in one line: `tcp port 443 from 192.0.2.0/24 to anywhere`.
pub(crate) fn boxed(block: &Block, host: &HostFacts) -> String {
    let has_tcp = block
        .side(Level::Protocol)
        .iter()
        .any(|run| (run.first..=run.last).contains(&6));
    let flags_side = block.side(Level::Flags);
    let fragments = !has_tcp && flags_side.iter().all(|run| run.first == FRAGMENT);
    let keys = if fragments {
        "later fragments".to_owned()
    } else {
        keys(block)
    };
    let mut words = vec![protocols(block), keys];
    if let Some(ports) = values(block.side(Level::SourcePort), Level::SourcePort) {
        words.push(format!("source port {ports}"));
    }
    if has_tcp {
        words.extend(flags(flags_side));
    }
    words.push(format!("from {}", addresses(block, Level::Source)));
    words.push(format!("to {}", addresses(block, Level::Destination)));
    if let Some(interfaces) = interfaces(block.side(Level::Interface), host) {
        words.push(format!("on {interfaces}"));
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// The addresses of one side.
pub(crate) fn addresses(block: &Block, level: Level) -> String {
    let all = |run: &Run| run.first == 0 && run.last == u128::MAX;
    let families = block.side(Level::Family);
    let (v4, v6) = families.iter().fold((false, false), |(v4, v6), run| {
        (v4 || run.first == 0, v6 || run.last == 1)
    });
    let side = block.side(level);
    if side.iter().any(all) {
        return match (v4, v6) {
            (true, false) => "any IPv4 address".to_owned(),
            (false, true) => "any IPv6 address".to_owned(),
            _ => "anywhere".to_owned(),
        };
    }
    let ranges: Vec<String> = side.iter().map(|run| range(*run, v4)).collect();
    shortened(&ranges)
}

/// One run of addresses, as a prefix where it is one.
fn range(run: Run, v4: bool) -> String {
    let (first, last) = (address(run.first, v4), address(run.last, v4));
    let mut prefixes: Box<dyn Iterator<Item = IpNet>> = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Box::new(Ipv4Subnets::new(first, last, 0).map(IpNet::V4)),
        (IpAddr::V6(first), IpAddr::V6(last)) => Box::new(Ipv6Subnets::new(first, last, 0).map(IpNet::V6)),
        _ => return format!("{first}-{last}"),
    };
    match (prefixes.next(), prefixes.next()) {
        (Some(prefix), None) if prefix.prefix_len() == prefix.max_prefix_len() => prefix.addr().to_string(),
        (Some(prefix), None) => prefix.to_string(),
        _ => format!("{first}-{last}"),
    }
}

/// An address that stands left-aligned in 128 bits.
pub(crate) fn address(bits: u128, v4: bool) -> IpAddr {
    if v4 {
        let bits = u32::try_from(bits >> 96).unwrap_or(u32::MAX);
        Ipv4Addr::from_bits(bits).into()
    } else {
        Ipv6Addr::from_bits(bits).into()
    }
}

fn protocols(block: &Block) -> String {
    let side = block.side(Level::Protocol);
    if side.iter().any(|run| run.first == 0 && run.last == 255) {
        return "anything".to_owned();
    }
    let word = |run: &Run| {
        let name = |number: u128| {
            let known = PROTOCOLS.iter().find(|(_, known)| u128::from(*known) == number);
            known.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
        };
        if run.first == run.last {
            name(run.first)
        } else if run.last - run.first < 3 {
            (run.first..=run.last).map(name).collect::<Vec<_>>().join(", ")
        } else {
            format!("protocols {}-{}", run.first, run.last)
        }
    };
    shortened(&side.iter().map(word).collect::<Vec<_>>())
}

fn keys(block: &Block) -> String {
    let message = block
        .side(Level::Protocol)
        .iter()
        .all(|run| run.first == run.last && (run.first == 1 || run.first == 58));
    let side = block.side(Level::Key);
    if side.iter().all(|run| run.last == 0) && !side.is_empty() {
        return "without ports or type".to_owned();
    }
    if message {
        let word = |run: &Run| {
            let (first, last) = (run.first.saturating_sub(1), run.last.saturating_sub(1));
            if first % 256 == 0 && last % 256 == 255 {
                types(first / 256, last / 256)
            } else if first == last {
                format!("{}/{}", first / 256, first % 256)
            } else {
                format!("{}/{}-{}/{}", first / 256, first % 256, last / 256, last % 256)
            }
        };
        let whole = side.iter().any(|run| run.first <= 1 && run.last == 65_536);
        return if whole {
            String::new()
        } else {
            let present = side.iter().filter(|run| run.last > 0);
            format!("type {}", shortened(&present.map(word).collect::<Vec<_>>()))
        };
    }
    values(side, Level::Key).map_or_else(String::new, |ports| format!("port {ports}"))
}

fn types(first: u128, last: u128) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

/// Ports; `None` when every one is there.
fn values(side: &[Run], level: Level) -> Option<String> {
    if side.iter().any(|run| run.first <= 1 && run.last == level.last())
        || side.iter().all(|run| run.last == 0)
    {
        return None;
    }
    let word = |run: &Run| types(run.first.max(1) - 1, run.last - 1);
    let present = side.iter().filter(|run| run.last > 0);
    Some(shortened(&present.map(word).collect::<Vec<_>>()))
}

/// What all flag bytes have in common, when they are not all there.
fn flags(side: &[Run]) -> Option<String> {
    let bytes: Vec<u128> = side
        .iter()
        .flat_map(|run| run.first.max(1)..=run.last)
        .map(|value| value - 1)
        .collect();
    if bytes.len() == 256 || side.iter().all(|run| run.last == 0) {
        return None;
    }
    let set = bytes.iter().fold(255, |set, byte| set & byte);
    let clear = bytes.iter().fold(255, |clear, byte| clear & !byte);
    let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
    let mut words = Vec::new();
    for (bit, name) in names.iter().enumerate() {
        if set >> bit & 1 == 1 {
            words.push((*name).to_owned());
        }
        if clear >> bit & 1 == 1 {
            words.push(format!("!{name}"));
        }
    }
    let exact = bytes.len() == 1 << (8 - words.len());
    Some(if exact {
        format!("flags {}", words.join(","))
    } else {
        format!("flags in {} combinations", bytes.len())
    })
}

fn interfaces(side: &[Run], host: &HostFacts) -> Option<String> {
    let count = host.interfaces.len() as u128;
    if side.iter().any(|run| run.first <= 1 && run.last >= count) {
        return None;
    }
    let places = side.iter().flat_map(|run| run.first.max(1)..=run.last.min(count));
    let names = places.filter_map(|place| host.interfaces.get(usize::try_from(place).ok()?.checked_sub(1)?));
    Some(shortened(
        &names.map(|interface| interface.name.clone()).collect::<Vec<_>>(),
    ))
}

/// A list of thousands stays a line.
fn shortened(words: &[String]) -> String {
    let shown = words
        .iter()
        .take(MOST_SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match words.len().saturating_sub(MOST_SHOWN) {
        0 => shown,
        more => format!("{shown} … ({more} more)"),
    }
}

const MOST_SHOWN: usize = 8;
