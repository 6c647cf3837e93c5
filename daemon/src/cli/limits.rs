//! `ravelin limits`.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use clap::Args;
use ipnet::IpNet;
use ravelin_datapath::wire::{Measure, SYN_BUDGET, Sharing, bucket_owner, bucket_sharers};
use serde::Serialize;

use super::listing::{Listing, more, names};
use super::{Failure, Outcome};
use crate::network::flows::table::now;
use crate::network::limits::{LimitTable, Listed};

/// Show what is taken from the limits of rules, the emptiest bucket first; works without a daemon
#[derive(Args, Debug)]
pub(super) struct Limits {
    /// Only buckets of the source that this address belongs to
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Only buckets of this rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    /// All that there are, shown or not.
    buckets: usize,
    shown: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    /// The rule; none: the budget of SYNs.
    rule: Option<String>,
    /// Who takes from the bucket.
    source: String,
    /// Its source has completed a connection.
    known: bool,
    measure: &'static str,
    /// What is left of it.
    tokens: u64,
    /// What it holds when it is full.
    burst: u64,
}

impl Limits {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let answer = self.answer()?;
        self.listing.print(&answer, text)
    }

    fn answer(&self) -> Result<Answer, Failure> {
        let nobody = || {
            self.listing.nobody(
                "nothing is limited",
                "a policy that has a `limit` or a `syn_budget`",
            )
        };
        let pins = self.listing.pins()?.ok_or_else(nobody)?;
        let table = LimitTable::open(&pins)?.ok_or_else(nobody)?;
        let names = names(&pins)?;
        let now = now();
        let mut rows: Vec<Row> = table
            .list()
            .iter()
            .filter(|listed| self.asks_for(listed))
            .map(|listed| row(listed, now, &names))
            .filter(|row| self.rule.is_none() || row.rule == self.rule)
            .collect();
        // The emptiest first: parts of a million, which two bursts of another size share too.
        rows.sort_by_key(|row| {
            let left = u128::from(row.tokens) * 1_000_000 / u128::from(row.burst.max(1));
            (left, Reverse(row.burst), row.rule.clone(), row.source.clone())
        });
        let buckets = rows.len();
        rows.truncate(self.listing.limit);
        Ok(Answer { buckets, shown: rows })
    }

    fn asks_for(&self, listed: &Listed) -> bool {
        self.address
            .is_none_or(|address| source(listed).is_some_and(|source| source.contains(&address)))
    }
}

/// The source of a bucket that has one.
fn source(listed: &Listed) -> Option<IpNet> {
    let (who, lengths) = (bucket_sharers(&listed.key), listed.limit.sources?);
    let (address, length) = match listed.sharing() {
        Sharing::Source4 => {
            let bits = u32::try_from(who.high >> 32).ok()?;
            (IpAddr::from(bits.to_be_bytes()), lengths.v4)
        }
        Sharing::Source6 => {
            let bits = u128::from(who.high) << 64 | u128::from(who.low);
            (IpAddr::from(bits.to_be_bytes()), lengths.v6)
        }
        Sharing::All | Sharing::Interface => return None,
    };
    IpNet::new(address, length).ok()
}

fn row(listed: &Listed, now: u64, names: &HashMap<u32, String>) -> Row {
    let ([owner, _], _) = bucket_owner(&listed.key);
    let limit = listed.limit;
    Row {
        rule: (owner != SYN_BUDGET).then(|| {
            names
                .get(&owner)
                .cloned()
                .unwrap_or_else(|| format!("(slot {owner})"))
        }),
        source: match (source(listed), listed.sharing()) {
            (Some(source), _) => source.to_string(),
            (None, Sharing::Interface) => interface(bucket_sharers(&listed.key).high),
            (None, _) if limit.sources.is_some() => "(newcomers without room)".to_owned(),
            (None, _) => "(all)".to_owned(),
        },
        known: listed.known,
        measure: match limit.measure {
            _ if owner == SYN_BUDGET => "SYNs",
            Measure::Packets => "packets",
            Measure::Bytes => "bytes",
            Measure::NewFlows => "new flows",
        },
        tokens: limit.level(&listed.record, now),
        burst: limit.burst,
    }
}

fn interface(number: u64) -> String {
    let name = u32::try_from(number)
        .ok()
        .and_then(|number| nix::net::if_::if_indextoname(number).ok())
        .and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| format!("(interface {number})"))
}

fn text(answer: &Answer) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(
        text,
        "{:<24} {:<30} {:<6} {:<10} {:>12} {:>12}",
        "rule", "source", "known", "of", "left", "burst"
    )?;
    for row in &answer.shown {
        writeln!(
            text,
            "{:<24} {:<30} {:<6} {:<10} {:>12} {:>12}",
            row.rule.as_deref().unwrap_or("(SYN budget)"),
            row.source,
            if row.known { "yes" } else { "no" },
            row.measure,
            row.tokens,
            row.burst
        )?;
    }
    text.push_str(&more(
        answer.buckets,
        answer.shown.len(),
        "`--address` and `--rule`",
    ));
    Ok(text)
}
