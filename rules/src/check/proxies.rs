//! `proxy_protocol` and `trusted_proxies`: who may say who the client is.
//!
//! listener → **proxies** → policy. There is no "if there is one": whoever can leave the header out or put it in chooses whom he is taken for.

use super::addresses::{self, Asker, Words};
use crate::diagnostic::{Code, Reporter};
use crate::document::listener::Listener;
use crate::policy::AddressMatch;

/// The proxies that are believed; `None`: the client is who opened the connection.
pub(super) fn check(
    written: &Listener,
    words: &mut Words<'_>,
    reporter: &mut Reporter,
) -> Option<AddressMatch> {
    let required = written
        .proxy_protocol
        .as_ref()
        .filter(|word| word.value == "require");
    let Some(required) = required else {
        report_unused(written, reporter);
        return None;
    };
    let Some(list) = &written.trusted_proxies else {
        let message = "`proxy_protocol = \"require\"` without `trusted_proxies`";
        reporter.report(Code::TrustedProxies, required.span, message, HELP);
        return None;
    };
    if list.value.is_empty() {
        reporter.report(Code::Empty, list.span, "`trusted_proxies` is an empty list", HELP);
        return None;
    }
    let trusted = addresses::check("trusted_proxies", Some(list), Asker::Listener, words, reporter).condition;
    let names_some = list.value.iter().any(|word| !word.value.starts_with('!'))
        && list.value.iter().all(|word| word.value != "anywhere");
    let whole_family = trusted.include.iter().any(|set| {
        let mut prefixes = set.elements().iter().map(|element| element.prefix);
        prefixes.any(|prefix| prefix.prefix_len() == 0)
    });
    if whole_family || !names_some {
        let message = "`trusted_proxies` trusts everybody";
        let help = "name the proxies: whoever is trusted can say that it is anybody";
        reporter.report(Code::TrustedProxies, list.span, message, help);
    }
    Some(trusted)
}

fn report_unused(written: &Listener, reporter: &mut Reporter) {
    if let Some(list) = &written.trusted_proxies {
        let message = "`trusted_proxies` has no effect without `proxy_protocol = \"require\"`";
        let help = "add `proxy_protocol = \"require\"`, or take `trusted_proxies` out";
        reporter.report(Code::TrustedProxies, list.span, message, help);
    }
    let timeout = written
        .limits
        .as_ref()
        .and_then(|limits| limits.proxy_timeout.as_ref());
    if let Some(timeout) = timeout {
        let message = "`proxy_timeout` has no effect without `proxy_protocol = \"require\"`";
        let help = "take it out, or add `proxy_protocol = \"require\"`";
        reporter.report(Code::UnusedProxyTimeout, timeout.span, message, help);
    }
}

const HELP: &str = "name the proxies, like `trusted_proxies = [\"10.20.0.0/16\"]`: whoever is trusted can say that it is anybody";
