//! `[[upstream]]`, and who uses which.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::names::Names;
use super::sets::MAX_COMPARED;
use super::{socket, units, upstream_terms, upstream_tls};
use crate::diagnostic::{Code, Reporter, closest, list, quote};
use crate::document::upstream::Upstream as WrittenUpstream;
use crate::policy::{Balance, ProxyHeader, Upstream};
use crate::source::{Span, Written};

/// Every upstream.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    upstreams: Vec<Named>,
    by_name: HashMap<String, usize>,
}

#[derive(Debug)]
struct Named {
    upstream: Upstream,
    name: Span,
    tls: Option<Span>,
    used: Cell<bool>,
}

/// Checks every upstream.
pub(super) fn check(written: Vec<WrittenUpstream>, reporter: &mut Reporter) -> Upstreams {
    let mut names = Names::new("upstream");
    let mut upstreams = Upstreams::default();
    for written in written {
        let name = names.check(written.name.as_ref(), reporter);
        let servers = written
            .servers
            .as_ref()
            .map_or_else(Vec::new, |list| servers(list, reporter));
        let timeout = written.connect_timeout.as_ref();
        let connect_timeout = units::duration("connect_timeout", timeout, CONNECT_TIMEOUT, reporter);
        let tls = written
            .tls
            .as_ref()
            .map(|written| upstream_tls::check(written, reporter));
        let health = written
            .health
            .as_ref()
            .map(|written| upstream_terms::health(written, reporter));
        let eject = upstream_terms::eject(written.eject.as_ref(), reporter);
        let (Some(name), Some(written_name)) = (name, &written.name) else {
            continue;
        };
        upstreams.by_name.insert(name.clone(), upstreams.upstreams.len());
        upstreams.upstreams.push(Named {
            upstream: Upstream {
                name,
                servers,
                balance: match written.balance.map(|word| word.value) {
                    Some("least-connections") => Balance::LeastConnections,
                    _ => Balance::RoundRobin,
                },
                proxy_protocol: match written.proxy_protocol.map(|word| word.value) {
                    Some("v1") => ProxyHeader::V1,
                    Some("v2") => ProxyHeader::V2,
                    _ => ProxyHeader::Off,
                },
                connect_timeout,
                // One that is not sound was reported, and the policy is refused.
                tls: tls.flatten(),
                health,
                eject,
            },
            name: written_name.span,
            tls: written.tls.as_ref().map(|written| written.span),
            used: Cell::new(false),
        });
    }
    upstreams
}

impl Upstreams {
    /// The name, when there is such an upstream, which is used from now on; reports one that is not defined.
    pub(super) fn find(&self, name: &Written<String>, reporter: &mut Reporter) -> Option<String> {
        let index = self.by_name.get(&name.value);
        if let Some(named) = index.and_then(|index| self.upstreams.get(*index)) {
            named.used.set(true);
            return Some(name.value.clone());
        }
        let message = format!("upstream {} is not defined", quote(&name.value));
        let names = || self.upstreams.iter().map(|named| named.upstream.name.as_str());
        let help = match closest(&name.value, names().take(MAX_COMPARED)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.upstreams.is_empty() => {
                "define it: an `[[upstream]]` with `name` and `servers`".to_owned()
            }
            None => format!("define it, or use {}", list(names().take(MAX_LISTED))),
        };
        reporter.report(Code::UnknownUpstream, name.span, message, help);
        None
    }

    /// Where the upstream asks for TLS to its servers.
    pub(super) fn tls(&self, name: &str) -> Option<Span> {
        let index = self.by_name.get(name)?;
        self.upstreams.get(*index)?.tls
    }

    pub(super) fn report_unused(&self, reporter: &mut Reporter) {
        for named in self.upstreams.iter().filter(|named| !named.used.get()) {
            let message = format!("upstream `{}` is not used", named.upstream.name);
            let help = "name it in a route of a listener, or take it out";
            reporter.report(Code::UnusedUpstream, named.name, message, help);
        }
    }

    pub(super) fn into_policy(self) -> Vec<Upstream> {
        self.upstreams.into_iter().map(|named| named.upstream).collect()
    }
}

fn servers(list: &Written<Vec<Written<String>>>, reporter: &mut Reporter) -> Vec<SocketAddr> {
    if list.value.is_empty() {
        let help = "name an address and a port: `servers = [\"127.0.0.1:8080\"]`";
        reporter.report(Code::Empty, list.span, "`servers` is an empty list", help);
    }
    let mut servers = Vec::new();
    for text in &list.value {
        let Some(address) = server(text, reporter) else {
            continue;
        };
        if servers.contains(&address) {
            let message = format!("server `{address}` is named twice");
            let help = "take one of them out: a server is known by its address, and all have the same weight";
            reporter.report(Code::DuplicateServer, text.span, message, help);
        } else if servers.len() == MAX_SERVERS {
            let help = "split them over several upstreams";
            let message = format!("more than {MAX_SERVERS} servers");
            reporter.report(Code::TooLarge, text.span, message, help);
            break;
        } else {
            servers.push(address);
        }
    }
    servers
}

fn server(text: &Written<String>, reporter: &mut Reporter) -> Option<SocketAddr> {
    if names_a_host(&text.value) {
        let message = format!("server name {} is not supported yet", quote(&text.value));
        let help = "write the server's address instead of its name, like `192.0.2.10:8080`";
        reporter.report(Code::NotSupported, text.span, message, help);
        return None;
    }
    let address = socket::parse(text, reporter)?;
    if address.port() == 0 {
        let message = format!(
            "{} has port 0, which nothing can be connected to",
            quote(&text.value)
        );
        let help = "write the port that the server listens on";
        reporter.report(Code::BadSocketAddress, text.span, message, help);
        return None;
    }
    Some(address)
}

/// `name:port` with a name that is no number.
fn names_a_host(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok()
            && host.contains(|c: char| c.is_ascii_alphabetic())
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    })
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Each connection looks at all of them.
const MAX_SERVERS: usize = 1_000;

/// A help line stays a line.
const MAX_LISTED: usize = 10;
