//! Descriptors that a service manager has opened before it started us (sd_listen_fds(3)).
//!
//! environment → **activation** → edge. Only at the start, in the only thread there is: the numbers are ours from here on.

#![expect(unsafe_code, reason = "descriptors come as numbers")]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// The descriptors; none when nobody has opened any for this process. To be called once: each number may have one owner.
///
/// # Errors
///
/// When the environment promises descriptors that are not there, or more than there can be.
pub(super) fn descriptors() -> Result<Vec<OwnedFd>, ActivationError> {
    // Checked there: they are for this process by `LISTEN_PID`, each is open, and no child will get it (`FD_CLOEXEC`).
    let numbers = sd_notify::listen_fds().map_err(ActivationError::Environment)?;
    if numbers.len() > MOST {
        return Err(ActivationError::TooMany(numbers.len()));
    }
    let owned = numbers.map(|number| {
        // SAFETY: the service manager has opened it for this process, `listen_fds` has found it open, and nothing else in this process
        // has opened or closed a descriptor of a number that was taken.
        unsafe { OwnedFd::from_raw_fd(number) }
    });
    Ok(owned.collect())
}

/// Why descriptors of a service manager cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// What the environment says is not so.
    #[error("LISTEN_PID and LISTEN_FDS promise sockets that are not there")]
    Environment(#[source] io::Error),
    /// A bound.
    #[error("LISTEN_FDS promises {0} sockets; there can be {MOST} at most")]
    TooMany(usize),
}

/// A policy listens on 1,024 addresses at most; a socket unit may have several sockets for each.
const MOST: usize = 8 * 1024;
