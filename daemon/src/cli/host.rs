//! The host that a question is about: this one where its interfaces are the policy's, or one that is said on the command line.

use std::net::IpAddr;

use ravelin_datapath::Origin;
use ravelin_rules::policy::{Clock, HostFacts, Policy, Timestamp};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::network::addresses;

#[derive(Debug, Error)]
pub(super) enum HostError {
    #[error("`{text}` is not an address; write it like `192.0.2.10` or `eth0=192.0.2.10`")]
    Address { text: String },
    #[error("`{name}` is not one of the policy's interfaces; name one of `[firewall] interfaces`")]
    Interface { name: String },
    #[error("`{text}` is not a moment; write it like `2026-12-31T00:00:00Z`")]
    Moment { text: String },
}

/// A moment as policies write it.
pub(super) fn moment(text: &str) -> Result<Timestamp, HostError> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok();
    let seconds = moment.and_then(|moment| u64::try_from(moment.unix_timestamp()).ok());
    let wrong = || HostError::Moment {
        text: text.to_owned(),
    };
    seconds.and_then(Timestamp::from_unix).ok_or_else(wrong)
}

/// The host that `policy` is on, at the moment `now`: with these addresses, or else with those that this machine holds on
/// interfaces of the same names.
pub(super) fn assumed(
    policy: &Policy,
    addresses: &[String],
    now: Option<Timestamp>,
) -> Result<HostFacts, HostError> {
    let mut host = HostFacts::assumed(policy, &[]);
    if addresses.is_empty() {
        let here = {
            let interfaces = policy.firewall.interfaces.iter();
            addresses::facts(interfaces.map(|interface| interface.name.as_str())).unwrap_or_default()
        };
        for (assumed, here) in host.interfaces.iter_mut().zip(here.interfaces) {
            assumed.addresses = here.addresses;
        }
    }
    for text in addresses {
        let (name, address) = match text.split_once('=') {
            Some((name, address)) => (Some(name), address),
            None => (None, text.as_str()),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_why| HostError::Address { text: text.clone() })?;
        let mut known = false;
        for interface in &mut host.interfaces {
            if name.is_none_or(|name| interface.name == name) {
                interface.addresses.push(address);
                known = true;
            }
        }
        if let (false, Some(name)) = (known, name) {
            return Err(HostError::Interface {
                name: name.to_owned(),
            });
        }
    }
    let present = || u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or(0);
    let unix = now.map_or_else(present, Timestamp::unix);
    host.clock = Clock {
        unix: unix.saturating_mul(1_000_000_000),
        boot: 0,
    };
    Ok(host)
}

/// A packet on that interface, at the present moment of the host; on the policy's first interface when none is named.
pub(super) fn origin(
    policy: &Policy,
    host: &HostFacts,
    interface: Option<&str>,
) -> Result<Origin, HostError> {
    let mut interfaces = host.interfaces.iter();
    let found = match interface {
        Some(name) => Some(
            interfaces
                .find(|interface| interface.name == name)
                .ok_or_else(|| HostError::Interface {
                    name: name.to_owned(),
                })?,
        ),
        None => interfaces.find(|interface| {
            let first = policy.firewall.interfaces.first();
            first.is_some_and(|first| first.name == interface.name)
        }),
    };
    Ok(Origin {
        loopback: false,
        interface: found.map_or(0, |interface| interface.index),
        now: host.clock.boot,
        ..Origin::default()
    })
}
