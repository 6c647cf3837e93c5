//! Takes what the edge wants banned to the filter, over its control socket.
//!
//! `transport::escalation` → queue → **`ban_requests`** → the filter. One request at a time, of many wishes. A filter that is away for a moment
//! is waited for; wishes that grow too old meanwhile are lost, and are asked for again when their sources offend again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::causes::chain;
use crate::control::bans::{Done, NewBan};
use crate::control::client::Connection;
use crate::control::protocol::Request;
use crate::control::{Action, Answer};
use crate::transport::BanWish;

/// Carries wishes until there is nobody left who could have any.
pub(super) async fn carry(socket: PathBuf, mut wishes: Receiver<BanWish>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut away = false;
    while wishes.recv_many(&mut batch, BATCH).await > 0 {
        loop {
            // What was asked for long ago may be about somebody who has been quiet since.
            batch.retain(|wish| wish.age() < KEPT);
            if batch.is_empty() {
                break;
            }
            match ask(&socket, &batch).await {
                Ok(done) => {
                    if away {
                        tracing::info!("the filter takes bans again");
                    }
                    away = false;
                    settle(std::mem::take(&mut batch), &done);
                }
                Err(error) => {
                    if !away {
                        tracing::warn!(
                            error,
                            "the filter takes no bans; they are tried again for a while"
                        );
                    }
                    away = true;
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Asks once. An error is worth another try.
async fn ask(socket: &Path, batch: &[BanWish]) -> Result<Done, String> {
    let mut request = Request::new(Action::Ban);
    request.ban = batch.iter().map(new_ban).collect();
    let socket = socket.to_owned();
    let asked = spawn_blocking(move || Connection::open(&socket, PATIENCE)?.ask(&request)).await;
    match asked {
        Ok(Ok(Answer::Banned(done))) => Ok(done),
        Ok(Ok(Answer::Failed { error })) => Err(error),
        Ok(Ok(other)) => {
            // A no that another try would not change.
            tracing::warn!(answer = ?other, "the filter refuses bans");
            Ok(all_refused(batch.len()))
        }
        Ok(Err(error)) => Err(chain(&error)),
        Err(stopping) => Err(stopping.to_string()),
    }
}

fn new_ban(wish: &BanWish) -> NewBan {
    NewBan {
        prefix: wish.prefix().to_string(),
        lasts: format!("{}ms", wish.lasts().as_millis()),
        reason: wish.reason(),
    }
}

fn all_refused(count: usize) -> Done {
    let refused = (0..count).map(|index| crate::control::bans::NotDone {
        index,
        error: String::new(),
    });
    Done {
        done: 0,
        refused: refused.collect(),
    }
}

fn settle(batch: Vec<BanWish>, done: &Done) {
    for (index, wish) in batch.into_iter().enumerate() {
        match done.refused.iter().find(|refused| refused.index == index) {
            Some(refused) => {
                tracing::debug!(prefix = %wish.prefix(), error = refused.error, "no ban");
                wish.refused();
            }
            None => {
                tracing::debug!(prefix = %wish.prefix(), reason = wish.reason(), "banned");
                wish.made();
            }
        }
    }
}

/// How many wishes one request has: some 10 of the 64 KiB that a request may have.
const BATCH: usize = 64;

/// A filter that restarts is back by then.
const KEPT: Duration = Duration::from_secs(30);

/// Between two tries: a filter that is away costs a system call or two a second.
const PAUSE: Duration = Duration::from_millis(500);

/// A filter that hangs is given up on.
const PATIENCE: Duration = Duration::from_secs(4);
