//! `[[vpc]]`, and where the host stands among them.

use std::collections::HashMap;

use ipnet::IpNet;

use super::names::Names;
use super::sets::origin;
use super::{host, prefix};
use crate::diagnostic::{Code, Reporter, closest, list, quote};
use crate::document::host::Host as WrittenHost;
use crate::document::vpc::Vpc as WrittenVpc;
use crate::policy::{Element, Host, PrefixSet, Vpc};
use crate::source::{Span, Written};

/// Every VPC, and the host.
#[derive(Debug, Default)]
pub(super) struct Zones {
    pub(super) vpcs: Vec<Vpc>,
    pub(super) host: Host,
}

impl Zones {
    pub(super) fn check(
        host: Option<WrittenHost>,
        written: Vec<WrittenVpc>,
        reporter: &mut Reporter,
    ) -> Self {
        let mut zones = Self::default();
        let mut names = Names::new("vpc");
        let mut peers: Vec<(String, Vec<Written<String>>)> = Vec::new();
        let mut cidrs: Vec<Cidr> = Vec::new();
        let mut environments = HashMap::new();
        for vpc in written {
            let name = names.check(vpc.name.as_ref(), reporter);
            let elements = elements(&vpc, reporter);
            let Some(name) = name else {
                continue;
            };
            for environment in &vpc.environments {
                report_environment(environment, &name, &mut environments, reporter);
            }
            cidrs.extend(elements.iter().map(|(element, span)| Cidr {
                prefix: element.prefix,
                vpc: zones.vpcs.len(),
                span: *span,
            }));
            peers.push((name.clone(), vpc.peers));
            zones.vpcs.push(Vpc {
                name,
                provider: vpc.provider.map(|label| label.value),
                region: vpc.region.map(|label| label.value),
                cidrs: PrefixSet::new(elements.into_iter().map(|(element, _)| element).collect()),
                environments: vpc.environments.into_iter().map(|word| word.value).collect(),
                peers: Vec::new(),
                place: reporter.sources.place(vpc.span),
            });
        }
        report_overlaps(&zones.vpcs, cidrs, reporter);
        zones.peer(peers, reporter);
        zones.host = zones.host(host, reporter);
        zones
    }

    /// The VPC of that name; reports a name that is not defined.
    pub(super) fn find(&self, name: &Written<String>, reporter: &mut Reporter) -> Option<&Vpc> {
        self.named(&name.value, name.span, reporter)
    }

    /// As [`Self::find`], of a name that stands in a longer text.
    pub(super) fn named(&self, name: &str, span: Span, reporter: &mut Reporter) -> Option<&Vpc> {
        let found = self.vpcs.iter().find(|vpc| vpc.name == name);
        if found.is_none() {
            let names = || self.vpcs.iter().map(|vpc| vpc.name.as_str());
            let help = match closest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.vpcs.is_empty() => "define it: a `[[vpc]]` with `name` and `cidrs`".to_owned(),
                None => format!("define it, or use {}", list(names())),
            };
            let message = format!("the VPC {} is not defined", quote(name));
            reporter.report(Code::UnknownVpc, span, message, help);
        }
        found
    }

    fn host(&self, written: Option<WrittenHost>, reporter: &mut Reporter) -> Host {
        let (mut region, mut vpc, mut environment) = (None, None, None);
        let name = host::name(
            written.map(|host| {
                (region, vpc, environment) = (host.region, host.vpc, host.environment);
                host.name
            }),
            reporter,
        );
        let home = vpc.as_ref().and_then(|vpc| self.find(vpc, reporter));
        if let Some(environment) = &environment {
            self.report_foreign_environment(environment, home, vpc.is_some(), reporter);
        }
        Host {
            name,
            region: region.and_then(|region| label(region, "region", reporter)),
            vpc: home.map(|vpc| vpc.name.clone()),
            environment: environment.map(|environment| environment.value),
        }
    }

    fn report_foreign_environment(
        &self,
        environment: &Written<String>,
        home: Option<&Vpc>,
        named: bool,
        reporter: &mut Reporter,
    ) {
        let lives_in = |vpc: &&Vpc| vpc.environments.contains(&environment.value);
        let word = quote(&environment.value);
        let (message, help) = match (home, self.vpcs.iter().find(lives_in)) {
            (Some(home), Some(vpc)) if vpc.name == home.name => return,
            // A VPC that is not defined was reported.
            (None, _) if named => return,
            (None, None) => return,
            (None, Some(vpc)) => (
                format!(
                    "environment {word} belongs to VPC `{}`, and the host is in none",
                    vpc.name
                ),
                format!("write `vpc = \"{}\"` in `[host]`", vpc.name),
            ),
            (Some(home), Some(vpc)) => (
                format!(
                    "environment {word} belongs to VPC `{}`, and the host is in `{}`",
                    vpc.name, home.name
                ),
                format!(
                    "write `vpc = \"{}\"` in `[host]`, or an environment of `{}`",
                    vpc.name, home.name
                ),
            ),
            (Some(home), None) => (
                format!("the VPC `{}` has no environment {word}", home.name),
                match home.environments.as_slice() {
                    [] => {
                        "name its environments in the VPC, or take `environment` out of `[host]`".to_owned()
                    }
                    known => format!("write {}", list(known.iter().map(String::as_str))),
                },
            ),
        };
        reporter.report(Code::ForeignEnvironment, environment.span, message, help);
    }

    /// Peering holds in both directions, whichever side names it.
    fn peer(&mut self, written: Vec<(String, Vec<Written<String>>)>, reporter: &mut Reporter) {
        let mut pairs = Vec::new();
        for (name, peers) in &written {
            for peer in peers {
                if peer.value == *name {
                    let message = format!("the VPC `{name}` is a peer of itself");
                    let help = "take it out: `local-vpc` and `vpc:NAME` cover a VPC's own addresses";
                    reporter.report(Code::OwnPeer, peer.span, message, help);
                } else if self.find(peer, reporter).is_some() {
                    pairs.push((name.clone(), peer.value.clone()));
                    pairs.push((peer.value.clone(), name.clone()));
                }
            }
        }
        for vpc in &mut self.vpcs {
            let of_it = pairs.iter().filter(|(name, _)| *name == vpc.name);
            vpc.peers = of_it.map(|(_, peer)| peer.clone()).collect();
            vpc.peers.sort_unstable();
            vpc.peers.dedup();
        }
    }
}

/// A prefix of a VPC, and where it was written.
struct Cidr {
    prefix: IpNet,
    /// Its place among the VPCs.
    vpc: usize,
    span: Span,
}

fn elements(vpc: &WrittenVpc, reporter: &mut Reporter) -> Vec<(Element, Span)> {
    let Some(cidrs) = &vpc.cidrs else {
        return Vec::new();
    };
    if cidrs.value.is_empty() {
        let help = "name its prefixes, like `cidrs = [\"10.20.0.0/16\"]`";
        reporter.report(Code::Empty, cidrs.span, "`cidrs` is an empty list", help);
    }
    let shown = vpc.name.as_ref().map_or("", |name| name.value.as_str());
    let element = |text: &Written<String>| match prefix::parse(&text.value) {
        Ok(prefix) => {
            let element = Element {
                prefix,
                expires: None,
                origin: origin(text.span, Some(&format!("vpc:{shown}")), reporter),
            };
            Some((element, text.span))
        }
        Err(error) => {
            let (message, help) = (error.message(&text.value), error.help(&text.value));
            reporter.report(error.code(), text.span, message, help);
            None
        }
    };
    cidrs.value.iter().filter_map(element).collect()
}

fn report_environment(
    environment: &Written<String>,
    vpc: &str,
    seen: &mut HashMap<String, (String, Span)>,
    reporter: &mut Reporter,
) {
    if let Some((first, span)) = seen.get(&environment.value) {
        let message = format!(
            "environment {} belongs to VPC `{first}` and to VPC `{vpc}`",
            quote(&environment.value)
        );
        let related = [(*span, "first named here")];
        let help = "name it in one of them: an environment belongs to exactly one VPC";
        reporter.report_with(Code::EnvironmentTwice, environment.span, message, &related, help);
        return;
    }
    let place = (vpc.to_owned(), environment.span);
    seen.insert(environment.value.clone(), place);
}

/// Reports each prefix that shares addresses with one of another VPC, once.
fn report_overlaps(vpcs: &[Vpc], mut cidrs: Vec<Cidr>, reporter: &mut Reporter) {
    // Prefixes nest or are apart: in this order each stands behind those that contain it.
    cidrs.sort_by_key(|cidr| (cidr.prefix.network(), cidr.prefix.prefix_len()));
    let mut around: Vec<&Cidr> = Vec::new();
    for cidr in &cidrs {
        while around
            .last()
            .is_some_and(|outer| !outer.prefix.contains(&cidr.prefix))
        {
            around.pop();
        }
        if let Some(outer) = around.iter().find(|outer| outer.vpc != cidr.vpc) {
            report_overlap(vpcs, outer, cidr, reporter);
        }
        around.push(cidr);
    }
}

fn report_overlap(vpcs: &[Vpc], one: &Cidr, other: &Cidr, reporter: &mut Reporter) {
    let (first, second) = if one.span < other.span {
        (one, other)
    } else {
        (other, one)
    };
    let (Some(a), Some(b)) = (vpcs.get(first.vpc), vpcs.get(second.vpc)) else {
        return;
    };
    let production = [a, b].into_iter().find(|vpc| {
        let mut environments = vpc.environments.iter();
        environments.any(|word| word == "production" || word == "prod")
    });
    let shares = format!(
        "{} of VPC `{}` overlaps {} of VPC `{}`",
        second.prefix, b.name, first.prefix, a.name
    );
    let message = match production {
        Some(vpc) => format!(
            "{shares}: production (`{}`) shares its addresses with no other VPC",
            vpc.name
        ),
        None => shares,
    };
    let related = [(first.span, "the other prefix")];
    let help = "give each VPC addresses of its own: a rule could not say which of them it means";
    reporter.report_with(Code::VpcOverlap, second.span, message, &related, help);
}

/// A word for people and for scopes: any line of printable text.
pub(super) fn label(text: Written<String>, key: &str, reporter: &mut Reporter) -> Option<String> {
    if text.value.trim().is_empty() || text.value.chars().any(char::is_control) {
        let message = format!("{} is not a {key}", quote(&text.value));
        let help = format!("write a line of printable text, like `{key} = \"eu-west-1\"`");
        reporter.report(Code::BadName, text.span, message, help);
        return None;
    }
    Some(text.value)
}
