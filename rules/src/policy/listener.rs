//! `[[listener]]` and its routes.

use std::net::SocketAddr;

use super::AddressMatch;
use super::client_auth::ClientAuthMode;
use super::listener_limits::ListenerLimits;
use super::rule::Place;
use super::tls::Tls;

/// `[[listener]]`: a TLS endpoint.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Unique; the metrics label.
    pub name: String,
    /// Addresses to listen on; at least one.
    pub bind: Vec<SocketAddr>,
    /// Client addresses let in. Default: anywhere.
    pub allow: AddressMatch,
    /// Client addresses refused, also when `allow` names them. Default: none.
    pub deny: AddressMatch,
    /// `trusted_proxies`: who is believed when it says who the client is, and must say so. `None`: the client is who opened the connection.
    pub trusted_proxies: Option<AddressMatch>,
    /// At least one.
    pub routes: Vec<Route>,
    /// `sni_policy`.
    pub sni_policy: SniPolicy,
    /// `[listener.tls]`.
    pub tls: Tls,
    /// `[listener.limits]`.
    pub limits: ListenerLimits,
    /// `syn_proxy`: whether SYNs over the budget are answered with cookies.
    pub syn_proxy: bool,
    /// Where the listener was written.
    pub place: Place,
}

/// One route: which server names go to which upstream.
#[derive(Clone, Debug)]
pub struct Route {
    /// `sni`.
    pub sni: SniPattern,
    /// `upstream`: names an upstream that exists.
    pub upstream: String,
    /// `client_auth`, or the listener's mode where the route says nothing. Asks only where `tls.client_auth` is there.
    pub client_auth: ClientAuthMode,
    /// `passthrough`: the upstream ends TLS.
    pub passthrough: bool,
}

/// A server name pattern, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SniPattern {
    /// Every name, and no name: a route without `sni`.
    Any,
    /// Exactly this name.
    Exact(String),
    /// `*.example.com`, kept as `example.com`: one more label on the left, no more.
    Wildcard(String),
}

impl SniPattern {
    /// Whether the server name `sni` (lower case; `None` when the client sent none) fits.
    #[must_use]
    pub fn matches(&self, sni: Option<&str>) -> bool {
        match (self, sni) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::Exact(name), Some(sni)) => name == sni,
            (Self::Wildcard(parent), Some(sni)) => sni
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        }
    }
}

/// What an unknown or absent server name gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SniPolicy {
    /// The first route.
    Default,
    /// Refused with `unrecognized_name`.
    #[default]
    Strict,
}
