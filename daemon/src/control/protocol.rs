//! The lines on the control socket: requests and replies, one JSON object each.
//!
//! ```text
//! → {"version":1,"action":"status"}
//! ← {"version":1,"answer":"status","half":"filter",...}
//! ```

use serde::{Deserialize, Serialize};

use super::Action;
use super::bans::{BansPage, Done, NewBan, Which};
use crate::network::detach::Detached;

/// The number of this protocol. Raised when a field changes its meaning or goes away; a new field does not raise it.
pub const VERSION: u32 = 1;

/// The longest request. A bound: without it one peer that never ends its line fills our memory.
pub const REQUEST_BYTES: usize = 64 * 1024;

/// The longest reply a client reads: metrics of 16,384 rules take about 4 MB.
pub const REPLY_BYTES: u64 = 64 * 1024 * 1024;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// What to do.
    pub action: Action,
    /// With [`Action::Ban`]: whom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ban: Vec<NewBan>,
    /// With [`Action::Unban`]: whom, as addresses and prefixes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unban: Vec<String>,
    /// With [`Action::Bans`]: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bans: Option<Which>,
}

impl Request {
    /// A request for `action`.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self {
            version: VERSION,
            action,
            ban: Vec::new(),
            unban: Vec::new(),
            bans: None,
        }
    }

    /// Reads a line.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words for the peer.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        // The version first: a peer of another version should learn that, not that some field is unknown.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } =
            serde_json::from_slice(line).map_err(|error| format!("this is not a request: {error}"))?;
        if version != VERSION {
            return Err(format!(
                "protocol version {version} is not known here, only {VERSION}"
            ));
        }
        serde_json::from_slice(line).map_err(|error| format!("this is not a request: {error}"))
    }
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// [`VERSION`].
    pub version: u32,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// What came of bans.
    Banned(Done),
    /// Some of the live bans.
    Bans(BansPage),
    /// Everything is out of the kernel, and the filter ends.
    Detached(Detached),
    /// It could not be done, and the peer is not at fault.
    Failed {
        /// Why, cause after cause.
        error: String,
    },
    /// The peer may not ask for that.
    Forbidden {
        /// Who may, in words.
        error: String,
    },
    /// The request makes no sense here.
    Invalid {
        /// Why.
        error: String,
    },
    /// The metrics.
    Metrics {
        /// Prometheus' text format.
        text: String,
    },
    /// The edge offers what listens: [`super::handover`] goes on from here.
    Offered {
        /// [`super::handover::VERSION`].
        handover: u32,
        /// How many descriptors.
        sockets: usize,
    },
    /// The policy was refused; the last good one is still live.
    Refused {
        /// The rendered diagnostics.
        diagnostics: String,
    },
    /// The policy is live.
    Reloaded {
        /// The number of the generation; `None` from an edge.
        generation: Option<u32>,
        /// Rendered warnings; empty when there are none.
        warnings: String,
        /// Certificates that could not be read, each with the reason: what was read earlier goes on. From an edge.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<String>,
    },
    /// The rules.
    Rules(Rules),
    /// What is live.
    Status(Box<Status>),
    /// What came of taking bans away.
    Unbanned(Done),
    /// A new edge serves, and the old one drains.
    Upgraded {
        /// The new one's process.
        pid: u32,
    },
}

/// Rules and reasons with their counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// In the order of judgement.
    pub rules: Vec<RuleCount>,
    /// Every reason and verdict that has been reached.
    pub reasons: Vec<ReasonCount>,
    /// Every parse class that has been seen.
    pub classes: Vec<ClassCount>,
}

/// A rule's counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    /// Its name.
    pub name: String,
    /// `allow` or `deny`; `None` when the policy of an earlier process is kept, of which only names are known.
    pub action: Option<String>,
    /// Packets it decided.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A reason's counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `allow` or `deny`.
    pub verdict: String,
    /// The reason's label.
    pub reason: String,
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A parse class's counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// `inbound` or `outbound`.
    pub direction: String,
    /// The class's label.
    pub class: String,
    /// Packets in which it was seen.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What is live in one half.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// `filter` or `edge`.
    pub half: String,
    /// The version of ravelin. Not called `version`: that is the protocol's, on the same line.
    pub release: String,
    /// Its process.
    pub pid: u32,
    /// The policy file.
    pub policy: String,
    /// How the last reload went.
    pub last_reload: LastReload,
    /// What only a filter has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterStatus>,
}

/// How the last reload went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastReload {
    /// Whether it was accepted.
    pub successful: bool,
    /// Why it was not.
    pub error: Option<String>,
    /// When, in seconds since 1970; a filter tells.
    pub at: Option<f64>,
    /// Accepted since the start; a filter tells.
    pub accepted: Option<u64>,
    /// Refused or failed since the start; a filter tells.
    pub refused: Option<u64>,
}

/// What is live in the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilterStatus {
    /// The number of the live generation; `None` while that of an earlier process is kept.
    pub generation: Option<u32>,
    /// `enforce` or `observe`; `None` as above.
    pub mode: Option<String>,
    /// How many rules it has.
    pub rules: usize,
    /// The size of its tables in the kernel; `None` as above.
    pub table_bytes: Option<u64>,
    /// Where it is attached.
    pub interfaces: Vec<InterfaceStatus>,
}

/// A filtered interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// `native`, `generic` or `offload`: what was reached.
    pub mode: String,
    /// The id of the program for packets that come in.
    pub program: u32,
    /// The id of the program for packets that go out, when the policy says anything of them.
    #[serde(default)]
    pub outbound_program: Option<u32>,
    /// Where it stands: `tcx` or `clsact`.
    #[serde(default)]
    pub outbound_hook: Option<String>,
    /// Why it is not native, when that was tried first.
    pub fallback: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{
        Action, Answer, BansPage, Detached, Done, FilterStatus, LastReload, Reply, Request, Rules, Status,
        VERSION,
    };

    #[test]
    fn a_request_comes_back_as_it_was_written() {
        for action in Action::ALL {
            let line = serde_json::to_vec(&Request::new(action)).unwrap();
            assert_eq!(Request::parse(&line), Ok(Request::new(action)));
        }
    }

    #[test]
    fn what_is_no_request_is_told_why() {
        for (line, word) in [
            ("", "not a request"),
            ("{}", "version"),
            (r#"{"version":2,"action":"fly"}"#, "protocol version 2"),
            (r#"{"version":1,"action":"fly"}"#, "fly"),
            (
                r#"{"version":1,"action":"status","as":"root"}"#,
                "unknown field `as`",
            ),
            ("[[[[[[[[[[[[[[[[", "not a request"),
        ] {
            let error = Request::parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
    }

    #[test]
    fn every_answer_comes_back_as_it_was_written() {
        let status = Status {
            half: "filter".to_owned(),
            release: "0.1.0".to_owned(),
            pid: 1,
            policy: "/etc/ravelin/ravelin.toml".to_owned(),
            last_reload: LastReload {
                successful: true,
                error: None,
                at: Some(1.5),
                accepted: Some(1),
                refused: Some(0),
            },
            filter: Some(FilterStatus {
                generation: Some(1),
                mode: Some("enforce".to_owned()),
                rules: 0,
                table_bytes: Some(4096),
                interfaces: Vec::new(),
            }),
        };
        let error = "why".to_owned();
        for answer in [
            Answer::Banned(Done::default()),
            Answer::Bans(BansPage::default()),
            Answer::Unbanned(Done::default()),
            Answer::Detached(Detached::default()),
            Answer::Failed { error: error.clone() },
            Answer::Forbidden { error: error.clone() },
            Answer::Invalid { error: error.clone() },
            Answer::Metrics { text: error.clone() },
            Answer::Offered {
                handover: 1,
                sockets: 5,
            },
            Answer::Upgraded { pid: 7 },
            Answer::Refused { diagnostics: error },
            Answer::Rules(Rules::default()),
            Answer::Status(Box::new(status)),
        ] {
            let reply = Reply {
                version: VERSION,
                answer,
            };
            let text = serde_json::to_string(&reply).unwrap();
            assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), reply, "{text}");
        }
    }

    #[test]
    fn a_reply_is_one_flat_object() {
        let reply = Reply {
            version: VERSION,
            answer: Answer::Reloaded {
                generation: Some(7),
                warnings: String::new(),
                kept: Vec::new(),
            },
        };
        let text = serde_json::to_string(&reply).unwrap();
        assert_eq!(
            text,
            r#"{"version":1,"answer":"reloaded","generation":7,"warnings":""}"#
        );
        assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), reply);
    }
}
