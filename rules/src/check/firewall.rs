//! `[firewall]`.

use std::time::Duration;

use ravelin_datapath::{ClassVerdict, Verdict};

use super::units;
use super::zones::Zones;
use crate::diagnostic::{Code, Reporter, list, quote};
use crate::document;
use crate::document::firewall::Interface as WrittenInterface;
use crate::policy::{ClassVerdicts, Firewall, FlowTimeouts, Interface, Mode, OutboundHook, XdpMode};
use crate::source::{Span, Written};

/// The table with its defaults.
pub(super) fn check(
    written: Option<document::firewall::Firewall>,
    zones: &Zones,
    reporter: &mut Reporter,
) -> Firewall {
    let Some(written) = written else {
        return Firewall::default();
    };
    let mut classes = ClassVerdicts::default();
    for (class, verdict) in &written.classes {
        let verdict = match verdict.value {
            "allow" => ClassVerdict::Allow,
            "judge" => ClassVerdict::Judge,
            _ => ClassVerdict::Deny,
        };
        classes = classes.with(*class, verdict);
    }
    Firewall {
        interfaces: interfaces(written.interfaces, zones, reporter),
        xdp_mode: match written.xdp_mode.map(|word| word.value) {
            Some("generic") => XdpMode::Generic,
            Some("native") => XdpMode::Native,
            _ => XdpMode::Auto,
        },
        outbound_hook: match written.outbound_hook.map(|word| word.value) {
            Some("tcx") => OutboundHook::Tcx,
            Some("clsact") => OutboundHook::Clsact,
            _ => OutboundHook::Auto,
        },
        inbound: match written.inbound.map(|word| word.value) {
            Some("allow") => Verdict::Allow,
            _ => Verdict::Deny,
        },
        outbound: match written.outbound.map(|word| word.value) {
            Some("deny") => Verdict::Deny,
            _ => Verdict::Allow,
        },
        essentials: written.essentials.is_none_or(|essentials| essentials.value),
        stateful: written.stateful.is_none_or(|stateful| stateful.value),
        flow_timeouts: flow_timeouts(written.flows, reporter),
        bans: written.bans.is_none_or(|bans| bans.value),
        mode: match written.mode.map(|word| word.value) {
            Some("observe") => Mode::Observe,
            _ => Mode::Enforce,
        },
        table_memory: units::memory(
            "table_memory",
            written.table_memory.as_ref(),
            Firewall::TABLE_MEMORY,
            LEAST_TABLE_MEMORY..=MOST_TABLE_MEMORY,
            reporter,
        ),
        classes,
    }
}

/// How long flows may be idle.
fn flow_timeouts(written: document::firewall::Flows, reporter: &mut Reporter) -> FlowTimeouts {
    let default = FlowTimeouts::default();
    let mut read = |key, written: Option<Written<String>>, default| {
        let timeout = units::duration(key, written.as_ref(), default, reporter);
        if let Some(written) = written
            && timeout > LONGEST_TIMEOUT
        {
            let message = format!("`{key}` is longer than 30 days");
            let help = "write at most `30d`: a flow that is forgotten opens again with its next packet, if the rules allow it";
            reporter.report(Code::OutOfRange, written.span, message, help);
        }
        timeout
    };
    FlowTimeouts {
        tcp: read("tcp", written.tcp, default.tcp),
        tcp_short: read("tcp_opening", written.tcp_opening, default.tcp_short),
        udp: read("udp", written.udp, default.udp),
        udp_both: read("udp_replied", written.udp_replied, default.udp_both),
        icmp: read("icmp", written.icmp, default.icmp),
    }
}

/// The kernel program counts milliseconds in 32 bits: 49 days.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3600);

fn interfaces(written: Vec<WrittenInterface>, zones: &Zones, reporter: &mut Reporter) -> Vec<Interface> {
    let mut interfaces: Vec<(Span, Interface)> = Vec::new();
    for WrittenInterface { name, vpc } in written {
        let vpc = vpc.and_then(|vpc| Some(zones.find(&vpc, reporter)?.name.clone()));
        let again = interfaces.iter().find(|(_, first)| first.name == name.value);
        if !is_interface(&name.value) {
            let message = format!("{} is not an interface name", quote(&name.value));
            reporter.report(Code::BadName, name.span, message, INTERFACE_NAME);
        } else if let Some((first, _)) = again {
            let message = format!("interface {} is named twice", quote(&name.value));
            let related = [(*first, "first named here")];
            reporter.report_with(
                Code::DuplicateName,
                name.span,
                message,
                &related,
                "name each interface once",
            );
        } else if interfaces.len() >= MAX_INTERFACES {
            let message = format!("more than {MAX_INTERFACES} interfaces");
            let help = "name the interfaces that packets come in through from outside";
            reporter.report(Code::TooLarge, name.span, message, help);
            break;
        } else {
            let interface = Interface {
                name: name.value,
                vpc,
            };
            interfaces.push((name.span, interface));
        }
    }
    interfaces.into_iter().map(|(_, interface)| interface).collect()
}

/// Enough for any policy of a hundred rules.
const LEAST_TABLE_MEMORY: u64 = 1 << 20;
/// The kernel's verifier follows no offset beyond it.
const MOST_TABLE_MEMORY: u64 = 512 << 20;

/// The interface that a rule asks for.
pub(super) fn interface(name: &Written<String>, filtered: &[Interface], reporter: &mut Reporter) -> String {
    if !is_interface(&name.value) {
        let message = format!("{} is not an interface name", quote(&name.value));
        reporter.report(Code::BadName, name.span, message, INTERFACE_NAME);
    } else if !filtered.is_empty() && filtered.iter().all(|interface| interface.name != name.value) {
        let message = format!(
            "interface {} is not filtered on this host: the rule never matches",
            quote(&name.value)
        );
        let help = format!(
            "filter it in `[firewall] interfaces`, or name one of {}",
            list(
                filtered
                    .iter()
                    .take(MAX_LISTED)
                    .map(|interface| interface.name.as_str())
            )
        );
        reporter.report(Code::InterfaceNotFiltered, name.span, message, help);
    }
    name.value.clone()
}

const INTERFACE_NAME: &str = "write a name of 1 to 15 characters as `ip link` shows it, like `eth0`";

/// A help line stays a line.
const MAX_LISTED: usize = 10;

/// The form the kernel takes (`dev_valid_name`): below 16 bytes, no `/`, `:` or blank, not `.` or `..`.
pub(crate) fn is_interface(name: &str) -> bool {
    let printable = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    (1..16).contains(&name.len()) && name.chars().all(printable) && name != "." && name != ".."
}

/// Every name is compared with every other, and each interface is a link to attach and watch.
const MAX_INTERFACES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_are_those_of_the_kernel() {
        for name in [
            "lo",
            "eth0",
            "eth0.100",
            "enp3s0f0np0",
            "br-lan",
            "123456789012345",
        ] {
            assert!(is_interface(name), "{name}");
        }
        for name in ["", ".", "..", "a b", "a/b", "eth0:1", "1234567890123456", "a\n"] {
            assert!(!is_interface(name), "{name}");
        }
    }
}
