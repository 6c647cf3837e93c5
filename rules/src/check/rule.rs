//! One rule: from what was written to what it asks.

use super::addresses::{self, Addresses, Asker, Words};
use super::protocol::{self, ICMP, ICMPV6, SCTP, Selected, TCP, UDP};
use super::sets::Families;
use super::{firewall, icmp, limit, numbers, ports, tcp_flags};
use crate::diagnostic::{Code, Reporter};
use crate::document::Scalar;
use crate::document::rule::Rule as WrittenRule;
use crate::policy::{Action, Direction, Firewall, Mode, PortRange, Protocols, Rule, RuleName, Scope};
use crate::source::Written;

/// Checks every condition. `None`: the rule is disabled, or has no usable name or action, which was reported.
pub(super) fn check(
    written: &WrittenRule,
    name: Option<String>,
    scope: Scope,
    words: &mut Words<'_>,
    firewall: &Firewall,
    reporter: &mut Reporter,
) -> Option<Rule> {
    let asker = Asker::Rule {
        scope: &scope,
        denies: written.action.is_some_and(|action| action.value == "deny"),
    };
    let source = addresses::check("source", written.source.as_ref(), asker, words, reporter);
    let destination = addresses::check(
        "destination",
        written.destination.as_ref(),
        asker,
        words,
        reporter,
    );
    let protocol = protocol::check(written.protocol.as_ref(), reporter);
    let ports = destination_ports(written, &protocol, reporter);
    let source_ports = source_ports(written, &protocol, reporter);
    let icmp = icmp::check(written.icmp.as_ref(), &protocol, reporter);
    let tcp_flags = tcp_flags::check(written.tcp_flags.as_ref(), &protocol, reporter);
    let priority = numbers::optional("priority", written.priority, 0..=u32::MAX, reporter);
    report_families(written, &source, &destination, &protocol, reporter);
    let interface = written
        .interface
        .as_ref()
        .map(|name| firewall::interface(name, &firewall.interfaces, reporter));
    report_next(written, &scope, reporter);
    let action = match written.action?.value {
        "allow" => Action::Allow,
        "next" => Action::Next,
        _ => Action::Deny,
    };
    let direction = match written.direction.map(|word| word.value) {
        Some("outbound") => Direction::Outbound,
        _ => Direction::Inbound,
    };
    let stateful = written
        .stateful
        .map_or(firewall.stateful, |stateful| stateful.value);
    let of = limit::Of {
        action,
        direction,
        stateful,
    };
    let limit = limit::check(written.limit.as_ref(), of, reporter);
    let name = RuleName::parse(&name?)?;
    let enabled = written.enabled.is_none_or(|enabled| enabled.value);
    enabled.then(|| Rule {
        name,
        scope,
        priority,
        direction,
        action,
        stateful,
        limit,
        mode: match written.mode.map(|word| word.value) {
            Some("observe") => Mode::Observe,
            _ => Mode::Enforce,
        },
        expires: written.expires.map(|moment| moment.value),
        interface,
        source: source.condition,
        destination: destination.condition,
        protocols: protocol.protocols,
        ports,
        source_ports,
        icmp,
        tcp_flags,
        comment: written.comment.as_ref().map(|comment| comment.value.clone()),
        place: reporter.sources.place(written.span),
    })
}

/// Behind the last scope there is nothing to go on with but the default.
fn report_next(written: &WrittenRule, scope: &Scope, reporter: &mut Reporter) {
    if let Some(Written { value: "next", span }) = written.action
        && *scope == Scope::Host
    {
        let message = "`next` in scope `host`, the last one: what matches gets the default";
        let help = "write `allow` or `deny`, or move the rule into a `[[policy]]` of a scope before it";
        reporter.report(Code::NextBehindNothing, span, message, help);
    }
}

fn destination_ports(written: &WrittenRule, protocol: &Selected, reporter: &mut Reporter) -> Vec<PortRange> {
    let Some(list) = &written.ports else {
        return protocol
            .service
            .as_ref()
            .map_or_else(Vec::new, |(ports, _)| ports.clone());
    };
    if list.value.is_empty() {
        // Taking the last port out of a list must not open all of them.
        let help = "leave `ports` out to match every port, or name ports";
        reporter.report(Code::Empty, list.span, "`ports` is an empty list", help);
    }
    if let Some((_, service)) = &protocol.service {
        let message = format!("`ports` beside service `{}`, which brings its own", service.value);
        let help = "take `ports` out, or write `protocol = \"tcp\"` or `\"udp\"` with `ports`";
        let related = [(service.span, "the service")];
        reporter.report_with(Code::ServiceWithPorts, list.span, message, &related, help);
    }
    report_portless("ports", list, protocol, reporter);
    ports::check(list, reporter)
}

fn source_ports(written: &WrittenRule, protocol: &Selected, reporter: &mut Reporter) -> Vec<PortRange> {
    let Some(list) = &written.source_ports else {
        return Vec::new();
    };
    if list.value.is_empty() {
        let help = "leave `source_ports` out; a client chooses its source port freely";
        let message = "`source_ports = []` sets no condition";
        reporter.report(Code::NoCondition, list.span, message, help);
        return Vec::new();
    }
    report_portless("source_ports", list, protocol, reporter);
    ports::check(list, reporter)
}

/// Reports ports on protocols that have none.
fn report_portless(
    key: &str,
    list: &Written<Vec<Written<Scalar>>>,
    protocol: &Selected,
    reporter: &mut Reporter,
) {
    let Protocols::Only(numbers) = &protocol.protocols else {
        return;
    };
    if numbers.iter().all(|number| [TCP, UDP, SCTP].contains(number)) {
        return;
    }
    let message = format!("`{key}` needs protocols that have ports");
    let help = format!("write `protocol = \"tcp\"`, `\"udp\"` or `\"sctp\"`, or take `{key}` out");
    reporter.report(Code::PortsWithoutProtocol, list.span, message, help);
}

/// Reports addresses and protocols whose families have no packet in common.
fn report_families(
    written: &WrittenRule,
    source: &Addresses,
    destination: &Addresses,
    protocol: &Selected,
    reporter: &mut Reporter,
) {
    if !source.families.meet(destination.families) {
        let message = "a source and a destination of different address families never match the same packet";
        let related: Vec<_> = written
            .destination
            .iter()
            .map(|list| (list.span, "the destination"))
            .collect();
        let span = written.source.as_ref().map_or(written.span, |list| list.span);
        let help = "write IPv4 and IPv6 addresses in both, or one rule for each family";
        reporter.report_with(Code::NeverMatches, span, message, &related, help);
        return;
    }
    let families = Families {
        v4: source.families.v4 && destination.families.v4,
        v6: source.families.v6 && destination.families.v6,
    };
    let (name, other, family) = match protocol {
        _ if protocol.is(ICMP) && !families.v4 => ("icmp", "icmpv6", "IPv6"),
        _ if protocol.is(ICMPV6) && !families.v6 => ("icmpv6", "icmp", "IPv4"),
        _ => return,
    };
    let span = written.protocol.as_ref().map_or(written.span, |list| list.span);
    if written.icmp.is_some() {
        let message = format!("messages of `{name}` never come from or to {family} addresses");
        let help = format!("write `protocol = \"{other}\"` for {family} addresses");
        reporter.report(Code::NeverMatches, span, message, help);
    } else {
        let message = format!("`{name}` with {family} addresses only");
        let help = format!("write `protocol = \"{other}\"`: that is the ICMP of {family}");
        reporter.report(Code::ProtocolOfOtherFamily, span, message, help);
    }
}
