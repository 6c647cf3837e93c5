//! `[firewall]`.

use ravelin_datapath::{ClassVerdict, Verdict};

use super::units;
use super::zones::Zones;
use crate::diagnostic::{Code, Reporter, list, quote};
use crate::document;
use crate::document::firewall::Interface as WrittenInterface;
use crate::policy::{ClassVerdicts, Firewall, Interface, Mode, XdpMode};
use crate::source::{Span, Written};

/// The table with its defaults. `first_rule`: where the first rule stands, if there is one.
pub(super) fn check(
    written: Option<document::firewall::Firewall>,
    first_rule: Option<Span>,
    zones: &Zones,
    reporter: &mut Reporter,
) -> Firewall {
    let Some(written) = written else {
        if let Some(span) = first_rule {
            let message = "a policy with rules needs `[firewall] stateful = false`";
            reporter.report(Code::StatefulMissing, span, message, WRITE_STATEFUL);
        }
        return Firewall::default();
    };
    stateful(written.span, written.stateful, reporter);
    if let Some(Written { value: "deny", span }) = written.outbound {
        let message =
            "`outbound = \"deny\"` is explained and compared; this release's filter does not enforce it";
        let help = "write `outbound = \"allow\"` to run the filter: it refuses what it cannot carry out";
        reporter.report(Code::OutboundNotEnforced, span, message, help);
    }
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
        inbound: match written.inbound.map(|word| word.value) {
            Some("allow") => Verdict::Allow,
            _ => Verdict::Deny,
        },
        outbound: match written.outbound.map(|word| word.value) {
            Some("deny") => Verdict::Deny,
            _ => Verdict::Allow,
        },
        essentials: written.essentials.is_none_or(|essentials| essentials.value),
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

/// Flow state is what people expect of a firewall: a policy has to say that it does without.
fn stateful(table: Span, written: Option<Written<bool>>, reporter: &mut Reporter) {
    match written {
        Some(Written { value: false, .. }) => {}
        Some(Written { span, .. }) => {
            let message = "`stateful = true` is not supported yet";
            reporter.report(Code::NotSupported, span, message, WRITE_STATEFUL);
        }
        None => {
            let message = "`[firewall]` needs `stateful = false`";
            reporter.report(Code::StatefulMissing, table, message, WRITE_STATEFUL);
        }
    }
}

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

const WRITE_STATEFUL: &str = "write `stateful = false` in `[firewall]`: flow state is not supported yet, so each rule judges a packet alone, and replies to connections that the host opens need a rule of their own, like `name = \"replies\", action = \"allow\", protocol = \"tcp\", tcp_flags = \"ack\"`";

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
