//! The routes of one listener.

use super::upstream::Upstreams;
use super::{client_auth, server_name};
use crate::diagnostic::{Code, Reporter, quote};
use crate::document::route::Route as WrittenRoute;
use crate::policy::{ClientAuthMode, Route, SniPattern};
use crate::source::{Span, Written};

/// Checks the routes, and that each can be reached.
pub(super) fn check(
    written: &Written<Vec<WrittenRoute>>,
    upstreams: &Upstreams,
    listener_asks: ClientAuthMode,
    reporter: &mut Reporter,
) -> Vec<Route> {
    if written.value.is_empty() {
        let help = "add a route: `routes = [{ upstream = \"app\" }]`";
        reporter.report(Code::Empty, written.span, "`routes` is an empty list", help);
    }
    if written.value.len() > MAX_ROUTES {
        let message = format!("more than {MAX_ROUTES} routes on one listener");
        let help = "use wildcards, or spread the names over listeners";
        reporter.report(Code::TooLarge, written.span, message, help);
        return Vec::new();
    }
    let mut patterns: Vec<(SniPattern, Span)> = Vec::new();
    let (mut routes, mut spans) = (Vec::new(), Vec::new());
    for route in &written.value {
        let upstream = route
            .upstream
            .as_ref()
            .and_then(|name| upstreams.find(name, reporter));
        let tls = upstream.as_ref().and_then(|name| upstreams.tls(name));
        let passthrough = passthrough(route, tls, reporter);
        let pattern = match &route.sni {
            Some(sni) => server_name::check(sni, reporter),
            None => (!route.names_a_server).then_some(SniPattern::Any),
        };
        let Some(pattern) = pattern else {
            continue;
        };
        let span = route.sni.as_ref().map_or(route.span, |sni| sni.span);
        if let Some((earlier, first)) = patterns.iter().find(|(earlier, _)| covers(earlier, &pattern)) {
            let message = format!("the route for {} is never taken", show(&pattern));
            let related = [(*first, "this earlier route takes its connections")];
            let help = if *earlier == pattern {
                "take one of the two routes out".to_owned()
            } else {
                format!("move it in front of the route for {}", show(earlier))
            };
            reporter.report_with(Code::RouteUnreachable, span, message, &related, help);
        }
        patterns.push((pattern.clone(), span));
        if let Some(upstream) = upstream {
            routes.push(Route {
                sni: pattern,
                upstream,
                client_auth: match route.client_auth {
                    _ if passthrough => ClientAuthMode::None,
                    Some(word) => client_auth::parse(word.value),
                    None => listener_asks,
                },
                passthrough,
            });
            spans.push(route.client_auth.map_or(route.span, |word| word.span));
        }
    }
    client_auth::each_upstream_is_guarded_alike(&routes, &spans, reporter);
    routes
}

/// Only who ends TLS can ask for a client certificate. And what was not decrypted needs no encryption: a server would find the client's
/// handshake inside that of the edge.
fn passthrough(route: &WrittenRoute, upstream_tls: Option<Span>, reporter: &mut Reporter) -> bool {
    let Some(word) = route.passthrough.filter(|word| word.value) else {
        return false;
    };
    if let Some(client_auth) = route.client_auth {
        let message = "`client_auth` on a route with `passthrough`";
        let help = "take `client_auth` out and let the upstream ask for certificates, or take `passthrough` out and end TLS here";
        reporter.report(Code::Passthrough, client_auth.span, message, help);
    }
    if let Some(tls) = upstream_tls {
        let message = "`passthrough` to an upstream with `tls`: the client's TLS would go inside another TLS";
        let related = [(tls, "the servers are spoken to in TLS")];
        let help = "take `passthrough` out and end the client's TLS here, or take `tls` out of the upstream, whose servers end the client's then";
        reporter.report_with(Code::TlsInsideTls, word.span, message, &related, help);
    }
    true
}

/// Whether every name that fits `later` fits `earlier`.
fn covers(earlier: &SniPattern, later: &SniPattern) -> bool {
    match (earlier, later) {
        (SniPattern::Any, _) => true,
        (_, SniPattern::Any) => false,
        (SniPattern::Wildcard(parent), SniPattern::Wildcard(other)) => parent == other,
        (SniPattern::Exact(_), SniPattern::Wildcard(_)) => false,
        (earlier, SniPattern::Exact(name)) => earlier.matches(Some(name)),
    }
}

fn show(pattern: &SniPattern) -> String {
    match pattern {
        SniPattern::Any => "every name".to_owned(),
        SniPattern::Exact(name) => quote(name),
        SniPattern::Wildcard(parent) => quote(&format!("*.{parent}")),
    }
}

/// Every route is compared with every other, and a connection tries them in turn.
const MAX_ROUTES: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_leaves_nothing_of() {
        let exact = |name: &str| SniPattern::Exact(name.to_owned());
        let wildcard = |parent: &str| SniPattern::Wildcard(parent.to_owned());
        for (earlier, later, expected) in [
            (SniPattern::Any, SniPattern::Any, true),
            (SniPattern::Any, exact("a.example"), true),
            (exact("a.example"), SniPattern::Any, false),
            (exact("a.example"), exact("a.example"), true),
            (exact("a.example"), exact("b.example"), false),
            (wildcard("example"), exact("a.example"), true),
            (wildcard("example"), exact("b.a.example"), false),
            (wildcard("example"), exact("example"), false),
            (wildcard("example"), wildcard("example"), true),
            (wildcard("example"), wildcard("a.example"), false),
            (exact("a.example"), wildcard("example"), false),
        ] {
            assert_eq!(covers(&earlier, &later), expected, "{earlier:?} {later:?}");
        }
    }
}
