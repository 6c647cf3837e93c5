//! Room for the connections the policy allows: two descriptors each, one to the client and one to the upstream.
//!
//! systemd and most shells start a process with 1,024 and let it ask for more, because of programs older than `poll`.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ravelin_rules::Policy;

/// Asks for as many descriptors as the system lets us have.
pub(super) fn raise() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
}

/// Tells the operator when the policy allows more connections than there can be.
pub(super) fn warn_if_short(policy: &Policy) {
    let connections: u64 = policy
        .listeners
        .iter()
        .map(|listener| u64::from(listener.limits.concurrent.total))
        .sum();
    let needed = 2 * connections + OWN;
    if let Ok((have, _)) = getrlimit(Resource::RLIMIT_NOFILE)
        && have < needed
    {
        tracing::warn!(
            have,
            needed,
            "fewer open files than `concurrent.total` takes: raise LimitNOFILE or `ulimit -n`, or lower `total`"
        );
    }
}

/// Listening sockets, logs, the metrics endpoint, and room to spare.
const OWN: u64 = 128;
