//! One packet of a box, judged by both oracles before anybody sees it.

use std::net::IpAddr;

use ravelin_datapath::{Decision, Origin, Reason};

use super::{Example, Outcome, Who};
use crate::explain::Question;
use crate::policy::{Policy, Timestamp};
use crate::reference;
use crate::space::{Block, Level, Run, Side};
use crate::words::address;

/// The oracle says something else than the box.
pub(super) struct Inconsistent;

/// A packet of the box, when a question can ask about one.
pub(super) fn of(
    block: &Block,
    sides: [Side<'_>; 2],
    outcomes: [&Outcome; 2],
    from: Option<Timestamp>,
    land: bool,
) -> Result<Option<Example>, Inconsistent> {
    let Some(question) = question(block, land) else {
        return Ok(None);
    };
    let Ok(frame) = question.frame() else {
        return Ok(None);
    };
    let host = sides[0].host;
    let place = first(block, Level::Interface).and_then(|value| usize::try_from(value).ok()?.checked_sub(1));
    let interface = place.and_then(|place| host.interfaces.get(place));
    let origin = Origin {
        loopback: false,
        interface: interface.map_or(0, |interface| interface.index),
        now: from.map_or(host.clock.boot, |moment| host.clock.since_boot(moment)),
        ..Origin::default()
    };
    for (side, outcome) in sides.iter().zip(outcomes) {
        let decision = reference::judge(side.policy, side.host, side.direction, origin, &frame);
        if !agrees(&decision, side.policy, outcome) {
            return Err(Inconsistent);
        }
    }
    Ok(Some(Example {
        question,
        interface: interface.map(|interface| interface.name.clone()),
    }))
}

fn agrees(decision: &Decision, policy: &Policy, outcome: &Outcome) -> bool {
    let by = match &outcome.who {
        Who::Rule(name) => decision
            .rule
            .and_then(|index| policy.rules.get(usize::try_from(index).ok()?))
            .is_some_and(|rule| rule.name.as_str() == name),
        Who::Default => decision.reason == Reason::Default,
        Who::Essential => matches!(
            decision.reason,
            Reason::IcmpError | Reason::DhcpClient | Reason::Dhcpv6Client
        ),
        Who::Class(label) => decision.reason.label() == *label,
    };
    by && decision.verdict == outcome.verdict
}

fn first(block: &Block, level: Level) -> Option<u128> {
    block.side(level).first().map(|run| run.first)
}

fn question(block: &Block, land: bool) -> Option<Question> {
    let v4 = first(block, Level::Family)? == 0;
    let (source, destination) = addresses(block, v4, land)?;
    let protocol = u8::try_from(first(block, Level::Protocol)?).ok()?;
    let value = |level| -> Option<u128> { first(block, level)?.checked_sub(1) };
    let message = protocol == if v4 { 1 } else { 58 };
    let ports = matches!(protocol, 6 | 17 | 132);
    let mut question = Question {
        source,
        destination,
        protocol,
        port: None,
        source_port: None,
        icmp: None,
        tcp_flags: None,
    };
    if message {
        // A message of neighbour or listener discovery is an essential with the hop limit that senders use.
        let keys = block.side(Level::Key).iter().flat_map(ends);
        let kinds = keys.filter_map(|key| key.checked_sub(1));
        let key = kinds
            .into_iter()
            .find(|key| v4 || !matches!(key / 256, 130..=136 | 143))?;
        question.icmp = Some((u8::try_from(key / 256).ok()?, u8::try_from(key % 256).ok()?));
    } else if ports {
        question.port = Some(u16::try_from(value(Level::Key)?).ok()?);
        question.source_port = Some(u16::try_from(value(Level::SourcePort)?).ok()?);
        if protocol == 6 {
            question.tcp_flags = Some(u8::try_from(value(Level::Flags)?).ok()?);
        }
    } else if first(block, Level::Flags)? != 0 {
        // A later fragment: no question asks about one.
        return None;
    }
    Some(question)
}

fn ends(run: &Run) -> [u128; 2] {
    [run.first, run.last]
}

/// Two addresses that are not the same, unless such packets are judged.
fn addresses(block: &Block, v4: bool, land: bool) -> Option<(IpAddr, IpAddr)> {
    let of = |level| {
        let ends = block.side(level).iter().flat_map(ends).take(4);
        ends.map(|bits| address(bits, v4)).collect::<Vec<IpAddr>>()
    };
    let (sources, destinations) = (of(Level::Source), of(Level::Destination));
    let pairs = sources.iter().flat_map(|source| {
        destinations
            .iter()
            .map(move |destination| (*source, *destination))
    });
    pairs
        .into_iter()
        .find(|(source, destination)| land || source != destination)
}
