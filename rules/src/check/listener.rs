//! `[[listener]]`.

use super::addresses::{self, Addresses, Asker, Words};
use super::names::Names;
use super::socket::{self, Bound};
use super::upstream::Upstreams;
use super::{client_auth, limits, proxies, routes, tls};
use crate::diagnostic::{Code, Reporter};
use crate::document::listener::Listener as WrittenListener;
use crate::document::route::Route;
use crate::policy::{AddressMatch, Firewall, Listener, PrefixSet, SniPolicy, Tls};
use crate::source::{Span, Written};

/// What listeners ask of the filter.
#[derive(Clone, Copy)]
pub(super) struct Filter<'f> {
    pub(super) firewall: &'f Firewall,
    /// `[flood] syn_budget` stands there, sound or not.
    pub(super) has_budget: bool,
    pub(super) keeps_flows: bool,
}

/// Checks every listener.
pub(super) fn check(
    written: Vec<WrittenListener>,
    upstreams: &Upstreams,
    words: &mut Words<'_>,
    bound: &mut Bound,
    filter: Filter<'_>,
    reporter: &mut Reporter,
) -> Vec<Listener> {
    let mut names = Names::new("listener");
    let mut listeners = Vec::new();
    for listener in written {
        let name = names.check(listener.name.as_ref(), reporter);
        if let Some(ban) = listener.limits.as_ref().and_then(|limits| limits.ban.as_ref()) {
            ban_is_possible(ban.span, listener.behind_proxy, filter.firewall, reporter);
        }
        if let Some(word) = listener.syn_proxy.as_ref().filter(|word| word.value == "auto") {
            syn_proxy_is_possible(word.span, filter, reporter);
        }
        listeners.extend(one(listener, name, upstreams, words, bound, reporter));
    }
    listeners
}

fn one(
    written: WrittenListener,
    name: Option<String>,
    upstreams: &Upstreams,
    words: &mut Words<'_>,
    bound: &mut Bound,
    reporter: &mut Reporter,
) -> Option<Listener> {
    let bind = written.bind.as_ref().map(|list| bind(list, bound, reporter));
    let allow = addresses::check("allow", written.allow.as_ref(), Asker::Listener, words, reporter);
    let deny = deny(written.deny.as_ref(), words, reporter);
    let trusted_proxies = proxies::check(&written, words, reporter);
    let ends_tls = written.routes.as_ref().is_none_or(|routes| {
        let ends = |route: &Route| !route.passthrough.is_some_and(|word| word.value);
        routes.value.is_empty() || routes.value.iter().any(ends)
    });
    let routes = written
        .routes
        .as_ref()
        .map(|list| routes::check(list, upstreams, client_auth::mode(&written), reporter));
    let asker = client_auth::asker(&written);
    let tls = match &written.tls {
        Some(written) => Some(tls::check(written, asker, reporter)),
        None if ends_tls => {
            let message = "`[[listener]]` has no `tls`";
            let help =
                "add it, for example `tls = { certificates = [{ cert = \"api.pem\", key = \"api.key\" }] }`";
            reporter.report(Code::MissingKey, written.span, message, help);
            None
        }
        None => Some(Tls::default()),
    };
    let limits = limits::check(written.limits, reporter);
    Some(Listener {
        name: name?,
        bind: bind?,
        allow: allow.condition,
        deny,
        trusted_proxies,
        routes: routes?,
        sni_policy: match written.sni_policy.map(|word| word.value) {
            Some("default") => SniPolicy::Default,
            _ => SniPolicy::Strict,
        },
        tls: tls?,
        limits,
        syn_proxy: written.syn_proxy.is_some_and(|word| word.value == "auto"),
        place: reporter.sources.place(written.span),
    })
}

/// A ban is of the address at the other end of the socket, and the filter's to make.
fn ban_is_possible(ban: Span, behind_proxy: bool, firewall: &Firewall, reporter: &mut Reporter) {
    if behind_proxy {
        let message = "`ban` on a listener whose clients come through a proxy";
        let help = "take `ban` out: the peer is the proxy, so the ban would shut out everybody behind it; let the proxy ban";
        reporter.report(Code::BanBehindProxy, ban, message, help);
    }
    if !firewall.bans {
        let message = "`ban` has no effect with `bans = false` in `[firewall]`";
        let help = "take `ban` out, or switch bans on";
        reporter.report(Code::BansSwitchedOff, ban, message, help);
    }
}

/// Cookies are for SYNs over the budget, and what brings one back is a flow.
fn syn_proxy_is_possible(word: Span, filter: Filter<'_>, reporter: &mut Reporter) {
    if !filter.has_budget {
        let message = "`syn_proxy = \"auto\"` without `syn_budget` in `[flood]`";
        let help = "say how many SYNs may come before they are answered with cookies: `syn_budget = { rate = \"10k/s\" }` in `[flood]`";
        reporter.report(Code::SynProxy, word, message, help);
    }
    if !filter.keeps_flows {
        let message = "`syn_proxy = \"auto\"` in a policy that keeps no flows";
        let help = "leave `stateful = false` out of `[firewall]`, or set `stateful = true` in the rule that lets clients in: who brings a cookie back is known by the flow that it opens";
        reporter.report(Code::SynProxy, word, message, help);
    }
}

fn bind(
    list: &Written<Vec<Written<String>>>,
    bound: &mut Bound,
    reporter: &mut Reporter,
) -> Vec<std::net::SocketAddr> {
    if list.value.is_empty() {
        let help = "name an address and a port: `bind = [\"0.0.0.0:443\", \"[::]:443\"]`";
        reporter.report(Code::Empty, list.span, "`bind` is an empty list", help);
    }
    let mut addresses = Vec::new();
    for text in &list.value {
        if bound.full() {
            let help = "bind to `0.0.0.0` and `[::]` instead of each address";
            reporter.report(Code::TooLarge, text.span, "too many addresses to listen on", help);
            break;
        }
        if let Some(address) = socket::parse(text, reporter) {
            bound.add(address, text.span, reporter);
            addresses.push(address);
        }
    }
    addresses
}

/// As [`addresses::check`], where absent and empty mean nobody.
fn deny(
    list: Option<&Written<Vec<Written<String>>>>,
    words: &mut Words<'_>,
    reporter: &mut Reporter,
) -> AddressMatch {
    match list.filter(|list| !list.value.is_empty()) {
        None => AddressMatch::among(PrefixSet::default()),
        list => {
            let Addresses { condition, .. } =
                addresses::check("deny", list, Asker::Listener, words, reporter);
            condition
        }
    }
}
