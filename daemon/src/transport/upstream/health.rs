//! Health checks: whether a server can be reached, found out without waiting for a client.
//!
//! policy → **health** → order. One task an upstream, which lives from the commit of a policy to the next. A check is what a
//! connection would do, without a client: connect, PROXY header, TLS handshake, close.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ravelin_rules::policy::HealthChecks;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep_until;

use super::Upstream;
use super::reach::{Opening, check};
use super::server::Server;
use crate::metrics::labels::Connect;
use crate::transport::proxy;

/// What the checks of a server have found. Nobody who has not been checked is down.
#[derive(Debug)]
pub(super) struct Health {
    up: AtomicBool,
    /// Checks in a row that say the opposite of `up`.
    contrary: Mutex<u32>,
}

/// When the next round of checks is due. Outlives reloads.
#[derive(Debug)]
pub(super) struct Rounds(Mutex<Instant>);

/// The task that checks an upstream. Ends when this is dropped.
#[derive(Debug)]
pub(in crate::transport) struct Watching(JoinHandle<()>);

impl Default for Health {
    fn default() -> Self {
        Self {
            up: AtomicBool::new(true),
            contrary: Mutex::new(0),
        }
    }
}

impl Health {
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Takes the result of a check; whether it has turned the server's state.
    fn note(&self, passed: bool, terms: HealthChecks) -> bool {
        // One number, in whole steps.
        let mut contrary = self.contrary.lock().unwrap_or_else(PoisonError::into_inner);
        if passed == self.is_up() {
            *contrary = 0;
            return false;
        }
        *contrary += 1;
        let turned = *contrary >= if passed { terms.rise } else { terms.fall };
        if turned {
            *contrary = 0;
            self.up.store(passed, Ordering::Relaxed);
        }
        turned
    }
}

impl Rounds {
    /// The first round at a random moment: many upstreams, or many edges that start at once, must not check in step.
    pub(super) fn beginning_within(every: Duration) -> Self {
        // Randomness that need not be good: the keys of the standard library's hash tables.
        let random = RandomState::new().hash_one(0_u8) as f64 / u64::MAX as f64;
        Self(Mutex::new(Instant::now() + every.mul_f64(random)))
    }

    fn due(&self) -> Instant {
        *self.lock()
    }

    /// One `every` later; a round that took too long is not made up for.
    fn done(&self, every: Duration, now: Instant) {
        let mut due = self.lock();
        *due = (*due + every).max(now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// Begins to check the servers, if the policy wants it. Needs a tokio runtime.
    pub(in crate::transport) fn watch(self: &Arc<Self>) -> Option<Watching> {
        let (terms, rounds) = self.checks.as_ref()?;
        let (terms, rounds) = (*terms, Arc::clone(rounds));
        let upstream = Arc::clone(self);
        Some(Watching(tokio::spawn(async move {
            loop {
                sleep_until(rounds.due().into()).await;
                upstream.round(terms).await;
                rounds.done(terms.every, Instant::now());
            }
        })))
    }

    async fn round(self: &Arc<Self>, terms: HealthChecks) {
        let mut checks = JoinSet::new();
        for server in &self.servers {
            if checks.len() >= AT_ONCE {
                drop(checks.join_next().await);
            }
            let (upstream, server) = (Arc::clone(self), Arc::clone(server));
            checks.spawn(async move { upstream.check(&server, terms).await });
        }
        while checks.join_next().await.is_some() {}
    }

    async fn check(&self, server: &Server, terms: HealthChecks) {
        let opening = Opening {
            header: proxy::own_connection(self.proxy_header),
            alpn: None,
        };
        let outcome = check(server.address, &opening, self.tls.as_ref(), terms.timeout).await;
        let (result, passed, error) = match &outcome {
            Ok(()) => (Connect::Connected, true, None),
            Err(failed) => (failed.result, false, Some(&failed.error)),
        };
        self.metrics.check(result);
        // Out of descriptors, a check says nothing of the server: whoever uses ours up must not take servers out.
        let says_something = outcome.as_ref().err().is_none_or(|failed| !failed.is_ours());
        if says_something && server.health.note(passed, terms) {
            let (upstream, server) = (&self.name, server.address);
            match error {
                None => tracing::info!(upstream, %server, "server is up"),
                Some(error) => tracing::warn!(upstream, %server, %error, "server is down"),
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Each takes a descriptor: checks of a long list must not take those of clients.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: HealthChecks = HealthChecks {
        every: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
    };

    #[test]
    fn a_state_turns_after_enough_checks_in_a_row_and_not_before() {
        let health = Health::default();
        assert!(health.is_up(), "before the first check");
        // One letter a check: does it pass; and the state behind it.
        let checks = [
            (false, true),
            (false, true),
            (true, true),
            (false, true),
            (false, true),
            (false, false),
            (true, false),
            (false, false),
            (true, false),
            (true, true),
        ];
        for (index, (passed, up)) in checks.into_iter().enumerate() {
            let before = health.is_up();
            assert_eq!(health.note(passed, TERMS), before != up, "check {index}");
            assert_eq!(health.is_up(), up, "check {index}");
        }
    }

    #[test]
    fn rounds_begin_within_their_interval_and_do_not_pile_up() {
        let now = Instant::now();
        let moments: Vec<_> = (0..50)
            .map(|_| Rounds::beginning_within(Duration::from_secs(5)).due())
            .collect();
        let latest = now + Duration::from_secs(6);
        assert!(moments.iter().all(|due| *due >= now && *due < latest));
        assert!(moments.windows(2).any(|pair| pair[0] != pair[1]));
        let rounds = Rounds(Mutex::new(now));
        rounds.done(Duration::from_secs(5), now + Duration::from_secs(1));
        assert_eq!(rounds.due(), now + Duration::from_secs(5));
        rounds.done(Duration::from_secs(5), now + Duration::from_secs(60));
        assert_eq!(rounds.due(), now + Duration::from_secs(60));
    }
}
