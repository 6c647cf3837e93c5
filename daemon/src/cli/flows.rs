//! `ravelin flows`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use clap::Args;
use ravelin_datapath::wire::{Plane, Stage};
use serde::Serialize;

use super::listing::{Listing, more, names};
use super::{Failure, Outcome};
use crate::network::flows::table::now;
use crate::network::flows::{FlowTable, Listed};

/// Show the flows that are let through, the most recent first; works without a daemon
#[derive(Args, Debug)]
pub(super) struct Flows {
    /// Only flows in which this address is an end
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    #[command(flatten)]
    listing: Listing,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    /// All that there are, shown or not.
    flows: usize,
    shown: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    protocol: String,
    local: String,
    remote: String,
    /// Who opened it: this host, or the other one.
    opened_by: &'static str,
    stage: &'static str,
    idle_seconds: f64,
    /// The rule that let it in; none: the default.
    rule: Option<String>,
}

impl Flows {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let answer = self.answer()?;
        self.listing.print(&answer, text)
    }

    fn answer(&self) -> Result<Answer, Failure> {
        let nobody = || self.listing.nobody("no flows are kept", "a stateful policy");
        let pins = self.listing.pins()?.ok_or_else(nobody)?;
        let table = FlowTable::open(&pins)?.ok_or_else(nobody)?;
        let names = names(&pins)?;
        let mut all: Vec<Listed> = table.iter().filter(|flow| self.asks_for(flow)).collect();
        all.sort_by_key(|listed| std::cmp::Reverse(listed.flow.seen));
        let now = now();
        let rows = all
            .iter()
            .take(self.listing.limit)
            .map(|listed| row(listed, now, &names));
        Ok(Answer {
            flows: all.len(),
            shown: rows.collect(),
        })
    }

    fn asks_for(&self, listed: &Listed) -> bool {
        self.address.is_none_or(|address| {
            let (local, remote) = addresses(listed);
            address == local || address == remote
        })
    }
}

fn addresses(listed: &Listed) -> (IpAddr, IpAddr) {
    let ends = listed.ends;
    match ends.plane {
        Plane::V4 => {
            let v4 = |high: u64| IpAddr::from(u32::try_from(high >> 32).unwrap_or(0).to_be_bytes());
            (v4(ends.local.high), v4(ends.remote.high))
        }
        Plane::V6 => {
            let v6 =
                |high: u64, low: u64| IpAddr::from((u128::from(high) << 64 | u128::from(low)).to_be_bytes());
            (
                v6(ends.local.high, ends.local.low),
                v6(ends.remote.high, ends.remote.low),
            )
        }
    }
}

fn row(listed: &Listed, now: u64, names: &HashMap<u32, String>) -> Row {
    let (ends, flow) = (listed.ends, listed.flow);
    let (local, remote) = addresses(listed);
    let echo = matches!((ends.protocol, ends.plane), (1, Plane::V4) | (58, Plane::V6));
    let end = |address: IpAddr, port: u16| match ends.protocol {
        _ if echo => address.to_string(),
        6 | 17 | 132 => SocketAddr::new(address, port).to_string(),
        _ => address.to_string(),
    };
    Row {
        protocol: match ends.protocol {
            1 | 58 if echo => format!("ping {}", ends.local_port),
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            47 => "gre".to_owned(),
            50 => "esp".to_owned(),
            51 => "ah".to_owned(),
            132 => "sctp".to_owned(),
            other => other.to_string(),
        },
        local: end(local, ends.local_port),
        remote: end(remote, ends.remote_port),
        opened_by: if flow.by_remote { "remote" } else { "local" },
        stage: match flow.stage {
            Stage::Opening => "opening",
            Stage::Established => "established",
            Stage::Closing => "closing",
        },
        #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
        idle_seconds: (now.saturating_sub(flow.seen) / 1_000_000) as f64 / 1000.0,
        rule: flow
            .rule
            .checked_sub(1)
            .and_then(|slot| names.get(&slot).cloned()),
    }
}

fn text(answer: &Answer) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(
        text,
        "{:<10} {:<30} {:<30} {:<9} {:<12} {:>8}  rule",
        "protocol", "local", "remote", "opened by", "stage", "idle, s"
    )?;
    for row in &answer.shown {
        writeln!(
            text,
            "{:<10} {:<30} {:<30} {:<9} {:<12} {:>8.1}  {}",
            row.protocol,
            row.local,
            row.remote,
            row.opened_by,
            row.stage,
            row.idle_seconds,
            row.rule.as_deref().unwrap_or("(default)")
        )?;
    }
    text.push_str(&more(answer.flows, answer.shown.len(), "`--address`"));
    Ok(text)
}
