//! Takes away from the edge what it does not need: user id 0, every capability but one, and files that are none of its
//! business. It parses hostile bytes: whoever takes it over should find nothing to take.
//!
//! Runs while the process has one thread; what is given up then is given up for all threads to come.

use std::path::PathBuf;

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus,
    path_beneath_rules,
};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{geteuid, getuid, setgroups, setresgid, setresuid};

use crate::control::peer::{edge_user, operators};

/// Gives up root, if we are root: user `ravelin-edge` or `nobody`, no capability but `CAP_NET_BIND_SERVICE`, and no way to
/// gain any again.
pub(super) fn drop_root() -> Result<(), SandboxError> {
    if geteuid().is_root() {
        let user = edge_user().ok_or(SandboxError::NoUser)?;
        let permitted = caps::read(None, CapSet::Permitted)?;
        let kept: CapsHashSet = permitted
            .intersection(&CapsHashSet::from([KEPT]))
            .copied()
            .collect();
        for capability in caps::runtime::thread_all_supported() {
            if capability != KEPT {
                // Without CAP_SETPCAP the bounding set stays; no_new_privs below closes the same way.
                let _not_permitted = caps::drop(None, CapSet::Bounding, capability);
            }
        }
        caps::securebits::set_keepcaps(true)?;
        // The operators' group leads to the control socket, where the edge's user has a place of its own.
        let groups: Vec<_> = operators().map(|group| group.gid).into_iter().collect();
        setgroups(&groups).map_err(SandboxError::Identity)?;
        setresgid(user.gid, user.gid, user.gid).map_err(SandboxError::Identity)?;
        setresuid(user.uid, user.uid, user.uid).map_err(SandboxError::Identity)?;
        caps::securebits::set_keepcaps(false)?;
        caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
        caps::set(None, CapSet::Effective, &kept)?;
        caps::set(None, CapSet::Permitted, &kept)?;
    }
    prctl::set_no_new_privs().map_err(SandboxError::NoNewPrivileges)
}

/// Refuses to go on with rights that the edge must not have, however it was started.
pub(super) fn verify() -> Result<(), SandboxError> {
    if getuid().is_root() || geteuid().is_root() {
        return Err(SandboxError::StillRoot);
    }
    for set in [
        CapSet::Permitted,
        CapSet::Effective,
        CapSet::Inheritable,
        CapSet::Ambient,
    ] {
        let held = caps::read(None, set)?;
        if let Some(capability) = held.into_iter().find(|capability| *capability != KEPT) {
            return Err(SandboxError::StillCapable(capability));
        }
    }
    Ok(())
}

/// Lets the process read below `readable` and nowhere else, and write nowhere. Best effort: a kernel without Landlock leaves
/// what file permissions leave. Network access is not restricted by this.
pub(super) fn confine(readable: &[PathBuf]) -> Result<&'static str, SandboxError> {
    let abi = ABI::V5;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(readable, AccessFs::from_read(abi)))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "full",
        RulesetStatus::PartiallyEnforced => "partial",
        RulesetStatus::NotEnforced => "none",
    })
}

/// Why the edge does not start: it would hold more than it may.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Capabilities.
    #[error("cannot change the capabilities of the edge")]
    Capabilities(#[from] caps::errors::CapsError),
    /// User and group.
    #[error("cannot give up root")]
    Identity(#[source] Errno),
    /// Landlock.
    #[error("cannot confine the edge to its files")]
    Landlock(#[from] landlock::RulesetError),
    /// `no_new_privs`.
    #[error("cannot set no_new_privs")]
    NoNewPrivileges(#[source] Errno),
    /// There is nobody to become.
    #[error("there is no user to run the edge as: create `ravelin-edge` (systemd/ravelin.sysusers does)")]
    NoUser,
    /// A capability too many.
    #[error("the edge refuses to run with {0}: it needs CAP_NET_BIND_SERVICE at most")]
    StillCapable(Capability),
    /// Root.
    #[error("the edge refuses to run as root")]
    StillRoot,
}

/// Ports below 1024.
const KEPT: Capability = Capability::CAP_NET_BIND_SERVICE;
