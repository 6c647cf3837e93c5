//! Asks the running halves, and turns their answers into words and exit codes.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::output::print_error;
use super::{Failure, Outcome, SocketOptions};
use crate::control::client::{ClientError, ask};
use crate::control::{Action, Answer};

/// What each half answered; `None` for one that does not run here.
#[derive(Debug, Serialize)]
pub(super) struct Answers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filter: Option<Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) edge: Option<Answer>,
}

/// Asks both halves. Either may not run; one must.
pub(super) fn ask_both(sockets: &SocketOptions, action: Action) -> Result<Answers, Failure> {
    let answers = Answers {
        filter: ask_if_running(&sockets.socket, action)?,
        edge: ask_if_running(&sockets.edge(), action)?,
    };
    if answers.filter.is_none() && answers.edge.is_none() {
        return Err(ClientError::NotRunning(sockets.socket.clone()).into());
    }
    Ok(answers)
}

/// Asks the filter, which must run.
pub(super) fn ask_filter(sockets: &SocketOptions, action: Action) -> Result<Answer, Failure> {
    Ok(ask(&sockets.socket, action, PATIENCE)?)
}

fn ask_if_running(socket: &Path, action: Action) -> Result<Option<Answer>, Failure> {
    match ask(socket, action, PATIENCE) {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::NotRunning(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Answers {
    /// Each answer, with the name of its half.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'static str, &Answer)> {
        let named = [("filter", self.filter.as_ref()), ("edge", self.edge.as_ref())];
        named
            .into_iter()
            .filter_map(|(name, answer)| Some((name, answer?)))
    }

    /// Says what went wrong in any half: a refused policy is a "no", everything else a failure.
    pub(super) fn outcome(&self) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::Done;
        for (half, answer) in self.each() {
            if let Answer::Refused { diagnostics } = answer {
                print_error(&format!(
                    "{half}: the policy is refused; the last good one stays\n{diagnostics}"
                ));
                outcome = Outcome::No;
            }
            if let Answer::Reloaded { kept, .. } = answer
                && !kept.is_empty()
            {
                outcome = Outcome::No;
            }
        }
        for (half, answer) in self.each() {
            expect_done(half, answer)?;
        }
        Ok(outcome)
    }
}

/// A failure for answers that mean one.
pub(super) fn expect_done(half: &str, answer: &Answer) -> Result<(), Failure> {
    match answer {
        Answer::Failed { error } | Answer::Forbidden { error } | Answer::Invalid { error } => {
            Err(format!("{half}: {error}").into())
        }
        _ => Ok(()),
    }
}

/// A failure for an answer to another question: two versions that disagree.
pub(super) fn unexpected(half: &str, answer: &Answer) -> Failure {
    format!("{half}: unexpected answer {answer:?}").into()
}

/// A reload of very large sets takes seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
