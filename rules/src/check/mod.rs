//! From what was written to what it means: Document → Policy, collecting every finding.
//!
//! Nothing here stops at a mistake: what cannot be understood is reported and replaced by something harmless, so that the
//! rest is still checked. The policy that comes out is only used when no error was reported.

mod addresses;
mod client_auth;
mod edge;
pub(crate) mod firewall;
mod host;
pub(crate) mod icmp;
mod limit;
mod limits;
mod listener;
pub(crate) mod lists;
mod names;
mod never_ban;
mod numbers;
mod ports;
mod prefix;
pub(crate) mod protocol;
mod proxies;
mod range;
mod routes;
mod rule;
mod rules;
mod server_name;
pub(crate) mod service;
pub(crate) mod set_file;
pub(crate) mod sets;
mod socket;
pub(crate) mod tcp_flags;
mod tickets;
mod tls;
pub(crate) mod units;
mod upstream;
mod upstream_terms;
mod upstream_tls;
mod zones;

use crate::change::SetFiles;
use crate::diagnostic::Reporter;
use crate::document::Document;
use crate::policy::Policy;
use addresses::Words;
use sets::Sets;
use zones::Zones;

/// Checks the document. Its set files are read here.
pub(crate) fn check(document: Document, reporter: &mut Reporter) -> (Policy, SetFiles) {
    let mut sets = Sets::check(document.sets, reporter);
    let zones = Zones::check(document.host, document.vpcs, reporter);
    let firewall = firewall::check(document.firewall, &zones, reporter);
    let has_budget = document
        .flood
        .as_ref()
        .is_some_and(|flood| flood.syn_budget.is_some());
    let flood = limit::flood(document.flood, reporter);
    let never_ban = never_ban::check(document.never_ban, &mut sets, reporter);
    let mut words = Words {
        sets: &mut sets,
        zones: &zones,
        never_ban: &never_ban,
    };
    let rules = rules::check(document.policies, document.rules, &mut words, &firewall, reporter);
    let upstreams = upstream::check(document.upstreams, reporter);
    let mut bound = socket::Bound::default();
    let keeps_flows = firewall.stateful || rules.here.iter().any(|rule| rule.stateful);
    let listeners = listener::check(
        document.listeners,
        &upstreams,
        &mut words,
        &mut bound,
        listener::Filter {
            firewall: &firewall,
            has_budget,
            keeps_flows,
        },
        reporter,
    );
    let edge = edge::check(document.edge, reporter);
    let metrics = host::metrics(document.metrics, &mut bound, reporter);
    if !reporter.has_errors() {
        // A misspelt name would be reported twice: as not defined, and as not used.
        upstreams.report_unused(reporter);
        sets.report_unused(reporter);
        sets.report_cut(reporter);
    }
    let mut files: Vec<_> = reporter.sources.names().map(ToOwned::to_owned).collect();
    let (sets, set_files) = sets.into_lists(&never_ban);
    files.extend(sets.iter().flat_map(|set| set.files.iter().cloned()));
    let policy = Policy {
        host: zones.host,
        vpcs: zones.vpcs,
        firewall,
        flood,
        never_ban,
        rules: rules.here,
        inert: rules.inert,
        listeners,
        upstreams: upstreams.into_policy(),
        metrics,
        edge,
        access_log: host::access_log(document.log.as_ref()),
        log: host::log(document.log),
        files,
        sets,
    };
    (policy, set_files)
}
