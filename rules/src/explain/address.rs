//! What an address condition says to an address: which entry let it in, which exception took it out.

use std::net::IpAddr;

use super::Checked;
use super::words::joined;
use crate::policy::{AddressMatch, Element, PrefixSet};
use crate::reference::{Scene, covers};

pub(super) fn addressed(
    side: &'static str,
    wanted: &AddressMatch,
    address: IpAddr,
    scene: &Scene,
) -> Checked {
    let own = scene.own.contains(&address);
    let including = match &wanted.include {
        None => Some("is anywhere".to_owned()),
        Some(set) => living(set, address, scene)
            .map(is_in)
            .or_else(|| (wanted.include_self && own).then(|| SELF.to_owned())),
    };
    let excluding = living(&wanted.exclude, address, scene)
        .map(is_in)
        .or_else(|| (wanted.exclude_self && own).then(|| SELF.to_owned()));
    let holds = including.is_some() && excluding.is_none();
    let says = match (including, excluding) {
        (Some(_), Some(out)) => format!("{side} {address} {out}, which is excluded"),
        // Nothing but exceptions, and none of them is this one.
        (Some(_), None) if wanted.include.is_none() => {
            format!("{side} {address} is not among the exceptions")
        }
        (Some(included), None) => format!("{side} {address} {included}"),
        (None, _) => not_in(side, wanted, address, scene),
    };
    Checked {
        key: side,
        holds,
        absent: false,
        says,
    }
}

const SELF: &str = "is one of this interface's own (`self`)";

fn is_in(element: &Element) -> String {
    format!("is in {} from {}", element.prefix, element.origin)
}

/// The first entry that holds the address and is there.
fn living<'s>(set: &'s PrefixSet, address: IpAddr, scene: &Scene) -> Option<&'s Element> {
    let mut elements = set.elements().iter();
    elements.find(|element| scene.before(element.expires) && covers(&element.prefix, address))
}

fn not_in(side: &str, wanted: &AddressMatch, address: IpAddr, scene: &Scene) -> String {
    let nothing = PrefixSet::default();
    let set = wanted.include.as_ref().unwrap_or(&nothing);
    let own = match (wanted.include_self, set.elements().is_empty()) {
        (true, true) => return not_own(side, address, scene),
        (true, false) => ", nor one of this interface's own (`self`)",
        (false, _) => "",
    };
    let ended = set
        .elements()
        .iter()
        .find(|element| !scene.before(element.expires) && covers(&element.prefix, address));
    if let Some((element, end)) = ended.and_then(|element| Some((element, element.expires?))) {
        return format!(
            "{side} {address} was in {} from {} until {end}{own}",
            element.prefix, element.origin
        );
    }
    let (family, other) = if address.is_ipv4() {
        ("IPv4", "IPv6")
    } else {
        ("IPv6", "IPv4")
    };
    let mut elements = set.elements().iter();
    if elements.any(|element| element.prefix.addr().is_ipv4() == address.is_ipv4()) {
        let prefixes = joined(set.elements(), |element| element.prefix.to_string());
        format!("{side} {address} is not in {prefixes}{own}")
    } else {
        format!("{side} {address} is {family}, and the rule names {other} addresses only{own}")
    }
}

fn not_own(side: &str, address: IpAddr, scene: &Scene) -> String {
    if scene.own.is_empty() {
        return format!("{side} {address} is not `self`: no address of the interface is known");
    }
    let own = joined(&scene.own, ToString::to_string);
    format!("{side} {address} is not `self`, which is {own}")
}
