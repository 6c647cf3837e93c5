//! The edge as a running service: policy file → load → listen → watch → reload → drain.
//!
//! command line → **service** → `Edge`. Owns the files (policy, certificates) and the signals of the edge; must not know how a
//! connection is served.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ravelin_rules::Policy;

use crate::metrics::export::Exposition;

/// Reads a policy file; the error is the text the operator sees (a rendered report).
pub type LoadPolicy = Arc<dyn Fn(&Path) -> Result<Policy, String> + Send + Sync>;

/// What the command line tells the edge.
pub struct EdgeOptions {
    /// The policy file.
    pub policy: PathBuf,
    /// How it is read.
    pub load: LoadPolicy,
    /// The filter's metrics, asked for at each scrape and served together with the edge's own.
    pub filter: Option<Arc<dyn Exposition>>,
    /// How long live connections may go on after a stop before they are cut.
    pub drain: Duration,
}

/// The running edge: listeners are bound and `/metrics` answers when [`EdgeService::start`] returns.
pub struct EdgeService {
    drain: Duration,
}

/// Reloads a running edge from elsewhere. Cheap to clone.
#[derive(Clone)]
pub struct EdgeHandle {}

impl EdgeService {
    /// Loads the policy, binds every listener and the metrics endpoint, and starts to watch the files.
    ///
    /// # Errors
    ///
    /// When the policy does not load, a certificate cannot be used or an address cannot be bound; nothing is left listening.
    pub async fn start(options: EdgeOptions) -> Result<Self, ServiceError> {
        (options.load)(&options.policy).map_err(|report| ServiceError::Policy { report })?;
        Err(ServiceError::Policy {
            report: "the edge is not built yet".to_owned(),
        })
    }

    /// A handle for reloads that do not come from a signal or a changed file.
    #[must_use]
    pub fn handle(&self) -> EdgeHandle {
        EdgeHandle {}
    }

    /// Serves until `stop` is ready, reloading on `SIGHUP` and when a file changes; then stops accepting and drains.
    /// Returns how many connections had to be cut.
    pub async fn run(self, stop: impl Future<Output = ()>) -> usize {
        let _ = self.drain;
        stop.await;
        0
    }
}

impl EdgeHandle {
    /// Reads the policy and its files again and swaps them in, all or nothing.
    ///
    /// # Errors
    ///
    /// When anything does not load; the last good policy goes on serving.
    pub async fn reload(&self) -> Result<(), ServiceError> {
        Ok(())
    }
}

/// Why the edge could not start or reload.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The policy did not load; the report says why.
    #[error("{report}")]
    Policy {
        /// The rendered diagnostics.
        report: String,
    },
}
