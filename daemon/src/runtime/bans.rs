//! Bans by request: texts become prefixes and durations, one lock guards the book, ended ones are swept.
//!
//! control socket → `answers` → **bans** → `network::bans`. The lock is not that of reloads: a ban waits for no compilation.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use ravelin_datapath::wire::BANS;
use ravelin_rules::{Policy, read_duration};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::applier::failed;
use crate::causes::chain;
use crate::control::Answer;
use crate::control::bans::{BanLine, BansPage, Done, NewBan, NotDone, Which};
use crate::control::peer::Standing;
use crate::network::Network;
use crate::network::bans::{Ban, Bans, BansError, Refusal, Wish};
use crate::network::metrics::BanFacts;

/// The bans of a running filter; none before the first generation.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<Option<Bans>>);

impl Book {
    /// A generation went live: its maps are there, and its policy says what is never banned. `None`: that of an earlier process is kept,
    /// and only the kernel knows.
    pub(super) fn follow(&self, network: &Network, policy: Option<&Policy>) {
        let mut book = self.lock();
        if book.is_none() {
            match network.bans() {
                Ok(bans) => *book = Some(bans),
                Err(error) => tracing::error!(error = %chain(&error), "there are no bans"),
            }
        }
        if let (Some(bans), Some(policy)) = (book.as_mut(), policy) {
            bans.follow(policy);
        }
    }

    /// Everything was detached.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    pub(super) fn ban(&self, wanted: &[NewBan], user: u32, standing: Standing) -> Answer {
        self.with(|bans| {
            let mut done = Done::default();
            for (index, wanted) in wanted.iter().enumerate() {
                let result = match wish(wanted) {
                    // An edge that was taken over must not be able to end an operator's ban by a short one in its place.
                    Ok(wish) if standing == Standing::Edge => bans.ban_within(&wish, user, EDGE_MOST),
                    Ok(wish) => bans.ban(&wish, user),
                    Err(refusal) => {
                        bans.count_refused(&refusal);
                        Err(refusal)
                    }
                };
                match result {
                    Ok(()) => done.done += 1,
                    Err(refusal) => done.refused.push(NotDone {
                        index,
                        error: chain(&refusal),
                    }),
                }
            }
            if let [only] = wanted {
                tracing::info!(user, prefix = %only.prefix, lasts = %only.lasts, reason = %only.reason, done = done.done, "ban");
            } else {
                tracing::info!(user, done = done.done, refused = done.refused.len(), "bans");
            }
            Ok(Answer::Banned(done))
        })
    }

    pub(super) fn unban(&self, wanted: &[String], user: u32) -> Answer {
        self.with(|bans| {
            let mut done = Done::default();
            for (index, text) in wanted.iter().enumerate() {
                let error = match prefix(text) {
                    Ok(prefix) if bans.unban(prefix)? => {
                        done.done += 1;
                        continue;
                    }
                    Ok(prefix) => format!(
                        "`{prefix}` is not banned: `ravelin bans {}` shows what covers it",
                        prefix.addr()
                    ),
                    Err(error) => error,
                };
                done.refused.push(NotDone { index, error });
            }
            tracing::info!(user, done = done.done, refused = done.refused.len(), "unban");
            Ok(Answer::Unbanned(done))
        })
    }

    pub(super) fn list(&self, which: &Which) -> Answer {
        self.with(|bans| {
            let mut page = BansPage {
                total: bans.count(),
                ..BansPage::default()
            };
            let found = match which.covering {
                Some(address) => {
                    let (found, never) = bans.covering(address)?;
                    page.never_ban = never.map(|entry| entry.to_string());
                    found
                }
                None => {
                    let found = bans.page(which.from)?;
                    page.next = found.next;
                    found.bans
                }
            };
            page.bans = found.into_iter().map(line).collect();
            Ok(Answer::Bans(page))
        })
    }

    pub(super) fn facts(&self) -> Option<BanFacts> {
        self.lock().as_ref().map(|bans| BanFacts {
            count: bans.count(),
            refused: bans.refused().collect(),
        })
    }

    /// Sweeps as long as the filter runs. In steps, with pauses: bans wait for one step, never for a walk through a million.
    pub(super) async fn keep_swept(self: &Arc<Self>) {
        loop {
            let book = Arc::clone(self);
            let more = spawn_blocking(move || book.sweep()).await.unwrap_or(false);
            sleep(if more { BETWEEN_STEPS } else { BETWEEN_WALKS }).await;
        }
    }

    fn sweep(&self) -> bool {
        let mut book = self.lock();
        let swept = book.as_mut().map_or(Ok(false), Bans::sweep);
        swept.unwrap_or_else(|error| {
            tracing::error!(error = %chain(&error), "bans that have ended are not swept; they do nothing all the same");
            false
        })
    }

    fn with(&self, work: impl FnOnce(&mut Bans) -> Result<Answer, BansError>) -> Answer {
        match self.lock().as_mut() {
            Some(bans) => work(bans).unwrap_or_else(|error| failed(&chain(&error))),
            None => failed("there are no bans yet: no generation of this version is live"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Bans>> {
        // A panic leaves the maps as after any other end of the process; what is counted here can be off until the next start.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wish(wanted: &NewBan) -> Result<Wish, Refusal> {
    let lasts = read_duration(&wanted.lasts).ok_or_else(|| {
        Refusal::Text(format!(
            "`{}` is not a duration: write a whole number and `ms`, `s`, `m`, `h` or `d`, like `10m`, at most `365d`",
            wanted.lasts
        ))
    })?;
    Ok(Wish {
        prefix: prefix(&wanted.prefix).map_err(Refusal::Text)?,
        lasts,
        reason: wanted.reason.clone(),
    })
}

/// An address, or a prefix without host bits: as in policies, half a prefix is more likely a slip than meant.
fn prefix(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let prefix: IpNet = text.parse().map_err(|_error| {
        format!("`{text}` is neither an address nor a prefix: write `192.0.2.7` or `192.0.2.0/24`")
    })?;
    if prefix != prefix.trunc() {
        return Err(format!("`{text}` has host bits set: write `{}`", prefix.trunc()));
    }
    Ok(prefix)
}

fn line(ban: Ban) -> BanLine {
    BanLine {
        prefix: ban.prefix.to_string(),
        seconds_left: ban.left.as_secs() + u64::from(ban.left.subsec_nanos() > 0),
        ends: ban.end / 1_000_000_000,
        made: ban.made / 1_000_000_000,
        user: ban.user,
        reason: ban.reason,
    }
}

/// The edge's bans are taken while the table is less than half full: an edge that was taken over must not be able to fill it, which
/// would keep operators' bans out.
const EDGE_MOST: u32 = BANS / 2;

/// A walk through a million takes some ten seconds and hardly any of a processor.
const BETWEEN_STEPS: Duration = Duration::from_millis(20);
const BETWEEN_WALKS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::{NewBan, prefix, wish};

    #[test]
    fn what_is_written_wrongly_is_told_with_what_is_right() {
        let error = |text| prefix(text).unwrap_err();
        assert_eq!(
            error("192.0.2.7/24"),
            "`192.0.2.7/24` has host bits set: write `192.0.2.0/24`"
        );
        assert!(error("192.0.2").contains("neither an address nor a prefix"));
        let wanted = NewBan {
            prefix: "192.0.2.7".to_owned(),
            lasts: "10".to_owned(),
            reason: String::new(),
        };
        assert!(wish(&wanted).unwrap_err().to_string().contains("like `10m`"));
    }
}
