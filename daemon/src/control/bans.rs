//! What requests and answers say of bans.
//!
//! ```text
//! → {"version":1,"action":"ban","ban":[{"prefix":"192.0.2.7","for":"10m","reason":"ssh"}]}
//! ← {"version":1,"answer":"banned","done":1,"refused":[]}
//! → {"version":1,"action":"bans","bans":{"from":4711}}
//! ← {"version":1,"answer":"bans","bans":[...],"next":6000,"total":100000}
//! ```

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One ban that is asked for. How many a request has is bounded by its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBan {
    /// An address, or a prefix without host bits.
    pub prefix: String,
    /// A duration as in policies: `10m`.
    #[serde(rename = "for")]
    pub lasts: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Which bans are listed; nothing: the first page of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Where an earlier page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u32>,
    /// Only those that cover this address: one page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covering: Option<IpAddr>,
}

/// What came of each of several bans, or of taking them away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// How many it was done for.
    pub done: u64,
    /// Those it was not done for.
    pub refused: Vec<NotDone>,
}

/// One of a request's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotDone {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Why not.
    pub error: String,
}

/// Some live bans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BansPage {
    /// In no order.
    pub bans: Vec<BanLine>,
    /// Where the next page begins; `None` on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    /// How many there are in all, with those that have just ended.
    pub total: u32,
    /// The entry of `[never_ban]` that covers the address that was asked for: the bans do nothing to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub never_ban: Option<String>,
}

/// A live ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanLine {
    /// Whom.
    pub prefix: String,
    /// Seconds that are left, the last one begun counted whole.
    pub seconds_left: u64,
    /// When it ends, in seconds since 1970.
    pub ends: u64,
    /// When it was made.
    pub made: u64,
    /// The number of the user that asked for it.
    pub user: u32,
    /// Why; empty when nobody said.
    pub reason: String,
}
