//! The hook for packets that go out, before the device and its queues: TCX, or `clsact` on kernels that have none.
//!
//! program, interface → **egress** → link or filter. Only TCX has links that can be pinned; of what came before it knows `clsact`.

use std::io;

use aya::programs::links::FdLink;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, loaded_programs};
use aya::sys::SyscallError;
use aya::util::KernelVersion;
use ravelin_rules::policy::OutboundHook;

use super::attach::{Held, Hook, UpdateError};
use super::clsact::{self, ClsactError};
use super::interface::Interface;
use super::load::OUTBOUND;

/// Where the program is to stand on the interface. Others may stand beside it.
pub(super) fn hook(interface: &Interface, wanted: OutboundHook) -> Result<Hook, EgressError> {
    if !interface.ethernet {
        return Err(EgressError::NoEthernet(interface.name.clone()));
    }
    Ok(match wanted {
        OutboundHook::Tcx => Hook::Tcx,
        OutboundHook::Clsact => Hook::Clsact,
        OutboundHook::Auto => choose(SchedClassifier::query_tcx(&interface.name, TcAttachType::Egress)),
    })
}

/// By what the kernel says when it is asked which programs stand at TCX. Not by its version: distributions bring hooks to kernels of
/// older numbers, and a kernel may be built without `CONFIG_NET_XGRESS`.
fn choose<T>(asked: Result<T, ProgramError>) -> Hook {
    match asked {
        Err(ProgramError::SyscallError(SyscallError { io_error, .. })) if is_unknown(&io_error) => {
            Hook::Clsact
        }
        // Another error is TCX's own, and is told when attaching fails.
        _ => Hook::Tcx,
    }
}

/// What bpf(2) answers to an attach type that it does not know.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EINVAL | EOPNOTSUPP))
}

/// Makes a link. Before all others: a program in front of ours could let a packet out with a word that ends the line.
pub(super) fn attach(program: &mut SchedClassifier, interface: &Interface) -> Result<FdLink, EgressError> {
    let failed = |source| refused(interface, KernelVersion::current().ok(), source);
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program
        .attach_with_options(&interface.name, TcAttachType::Egress, first)
        .map_err(failed)?;
    let link = program.take_link(id).map_err(failed)?;
    FdLink::try_from(link).map_err(|_no_link| EgressError::NoLink(interface.name.clone()))
}

/// Why the kernel has refused. Not asked before: distributions bring hooks to kernels of older numbers.
fn refused(interface: &Interface, running: Option<KernelVersion>, source: ProgramError) -> EgressError {
    match running {
        Some(running) if running < FIRST => EgressError::Kernel {
            major: running.code() >> 16,
            minor: running.code() >> 8 & 0xff,
        },
        _ => EgressError::Attach {
            interface: interface.name.clone(),
            source,
        },
    }
}

/// Makes the link, or filter, hold the program.
pub(super) fn update(program: &mut SchedClassifier, held: Held) -> Result<(), UpdateError> {
    let pinned = match held {
        Held::Link(_, pinned) => pinned,
        Held::Filter { interface, .. } => return clsact::update(program, &interface),
    };
    let id = program.attach_to_link(pinned.into_link()?)?;
    // Only the descriptor is dropped; the pin holds the link.
    program.take_link(id)?;
    Ok(())
}

/// A program that an earlier process loaded.
pub(super) fn program_by_id(id: u32) -> Option<SchedClassifier> {
    let info = loaded_programs().flatten().find(|info| info.id() == id)?;
    SchedClassifier::from_program_info(info, OUTBOUND.into()).ok()
}

/// Why packets that go out cannot be judged on an interface.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The kernel refused.
    #[error(
        "cannot attach to what goes out on `{interface}`: needs Linux 6.6 with CONFIG_NET_XGRESS, or `outbound_hook = \"clsact\"`"
    )]
    Attach {
        /// The interface.
        interface: String,
        /// Why.
        source: ProgramError,
    },
    /// The filter at `clsact`.
    #[error(transparent)]
    Clsact(#[from] ClsactError),
    /// The kernel is older than the hook.
    #[error(
        "`outbound_hook = \"tcx\"` needs Linux 6.6; this is {major}.{minor}: write `outbound_hook = \"auto\"`, which takes `clsact` where there is no TCX"
    )]
    Kernel {
        /// The kernel's version.
        major: u32,
        /// Its second part.
        minor: u32,
    },
    /// Frames without an Ethernet header.
    #[error(
        "what goes out on `{0}` has no Ethernet header, and such packets are not supported yet: take the interface out, or write `stateful = false` and take the outbound rules out"
    )]
    NoEthernet(String),
    /// The kernel attached without a link, which ends with the process.
    #[error("the kernel gave no link for what goes out on `{0}`, so the filter would not outlive the daemon")]
    NoLink(String),
}

/// The first kernel with TCX.
const FIRST: KernelVersion = KernelVersion::new(6, 6, 0);
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;

#[cfg(test)]
mod tests {
    use aya::programs::ProgramError;
    use aya::sys::SyscallError;
    use aya::util::KernelVersion;

    use super::{Hook, Interface, choose, refused};

    #[test]
    fn a_kernel_that_does_not_know_tcx_gets_a_filter_and_no_other_one_does() {
        let answer = |number| {
            Err::<(), _>(ProgramError::SyscallError(SyscallError {
                call: "bpf_prog_query",
                io_error: std::io::Error::from_raw_os_error(number),
            }))
        };
        assert_eq!(choose(answer(22)), Hook::Clsact, "EINVAL");
        assert_eq!(choose(answer(1)), Hook::Tcx, "EPERM");
        assert_eq!(
            choose(answer(2)),
            Hook::Tcx,
            "ENOENT: a program that went away meanwhile"
        );
        assert_eq!(choose(Ok(())), Hook::Tcx);
    }

    #[test]
    fn a_kernel_without_the_hook_is_named_with_the_one_that_is_needed() {
        let interface = Interface::look("lo").unwrap();
        let words = |version| refused(&interface, version, ProgramError::NotLoaded).to_string();
        let old = words(Some(KernelVersion::new(6, 1, 90)));
        assert!(
            old.contains("needs Linux 6.6") && old.contains("this is 6.1"),
            "{old}"
        );
        for version in [None, Some(KernelVersion::new(6, 6, 0))] {
            let other = words(version);
            assert!(
                other.contains("cannot attach to what goes out on `lo`"),
                "{other}"
            );
        }
    }
}
