//! What a running filter answers on its control socket.

use std::sync::Arc;

use ravelin_datapath::{Direction, ParseClass, Reason, Verdict};
use tokio::task::spawn_blocking;

use super::applier::{Applier, failed};
use super::live::Live;
use super::reload::Cause;
use super::run::Upgrades;
use crate::causes::chain;
use crate::control::peer::{Peer, Standing};
use crate::control::protocol::{ClassCount, ReasonCount, Request, RuleCount, Rules, Status};
use crate::control::server::Handler;
use crate::control::{Action, Answer};
use crate::network::counters::{Counters, CountersError};

/// Answers for a running filter.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) applier: Arc<Applier>,
    /// `None`: this filter has no edge of its own.
    pub(super) upgrades: Option<Upgrades>,
}

impl Handler for Answers {
    async fn handle(&self, request: Request, peer: Peer, standing: Standing) -> Answer {
        match request.action {
            Action::Reload => self.applier.queue().wish_and_wait(Cause::Control).await,
            Action::Upgrade => self.upgrade().await,
            action => {
                let applier = Arc::clone(&self.applier);
                // System calls by the thousand: other connections are answered meanwhile.
                let answer = spawn_blocking(move || match action {
                    Action::Ban => applier.bans.ban(&request.ban, peer.uid, standing),
                    Action::Bans => applier.bans.list(&request.bans.unwrap_or_default()),
                    Action::Unban => applier.bans.unban(&request.unban, peer.uid),
                    Action::Detach => applier.detach(),
                    Action::Metrics => applier.metrics(),
                    Action::Rules => rules(&applier.live()),
                    _ => status(&applier),
                });
                answer
                    .await
                    .unwrap_or_else(|error| failed(&format!("a bug in ravelin, please report: {error}")))
            }
        }
    }

    fn answered(&self, action: Action) {
        if action == Action::Detach {
            self.applier.end_if_detached();
        }
    }
}

impl Answers {
    async fn upgrade(&self) -> Answer {
        let Some(upgrades) = &self.upgrades else {
            let error = "this filter has no edge of its own: an edge that runs alone is replaced by `ravelin edge --take-over`";
            return Answer::Invalid {
                error: error.to_owned(),
            };
        };
        match upgrades.upgrade().await {
            Ok(pid) => Answer::Upgraded { pid },
            Err(error) => Answer::Failed { error },
        }
    }
}

fn status(applier: &Applier) -> Answer {
    let live = applier.live();
    match live.status() {
        Ok(filter) => Answer::Status(Box::new(Status {
            half: "filter".to_owned(),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            policy: applier.settings.config.display().to_string(),
            last_reload: live.reloads.status(),
            filter: Some(filter),
        })),
        Err(error) => failed(&chain(&error)),
    }
}

fn rules(live: &Live) -> Answer {
    counted(live).map_or_else(|error| failed(&chain(&error)), Answer::Rules)
}

fn counted(live: &Live) -> Result<Rules, CountersError> {
    let Some(counters) = &live.counters else {
        return Ok(Rules::default());
    };
    let mut counted = Rules::default();
    for rule in live.rules()? {
        let count = counters.rule(rule.slot)?;
        counted.rules.push(RuleCount {
            name: rule.name.to_string(),
            action: rule.action.map(|action| action.word().to_owned()),
            packets: count.packets,
            bytes: count.bytes,
        });
    }
    for direction in Direction::ALL {
        count_direction(counters, direction, &mut counted)?;
    }
    Ok(counted)
}

fn count_direction(
    counters: &Counters,
    direction: Direction,
    counted: &mut Rules,
) -> Result<(), CountersError> {
    for reason in Reason::ALL {
        for verdict in [Verdict::Allow, Verdict::Deny] {
            let count = counters.reason(direction, *reason, verdict)?;
            if count.packets > 0 {
                counted.reasons.push(ReasonCount {
                    direction: direction.word().to_owned(),
                    verdict: verdict.word().to_owned(),
                    reason: reason.label().to_owned(),
                    packets: count.packets,
                    bytes: count.bytes,
                });
            }
        }
    }
    for class in ParseClass::ALL {
        let count = counters.class(direction, *class)?;
        if count.packets > 0 {
            counted.classes.push(ClassCount {
                direction: direction.word().to_owned(),
                class: class.label().to_owned(),
                packets: count.packets,
                bytes: count.bytes,
            });
        }
    }
    Ok(())
}
