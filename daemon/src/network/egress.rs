//! The hook for packets that go out: TCX, before the device and its queues.
//!
//! program, interface → **egress** → link. Only TCX has links that can be pinned and updated in one step; what kernels before it
//! have (the `clsact` queueing discipline) holds a program by name and priority, for anybody to replace.

use aya::programs::links::FdLink;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, loaded_programs};
use aya::util::KernelVersion;

use super::adopt::Pinned;
use super::attach::{Made, UpdateError};
use super::interface::Interface;
use super::load::OUTBOUND;

/// Whether `pinned` holds a program on the interface. Others may stand beside it.
pub(super) fn is_ours(interface: &Interface, pinned: Option<&Pinned>) -> Result<bool, EgressError> {
    if !interface.ethernet {
        return Err(EgressError::NoEthernet(interface.name.clone()));
    }
    Ok(pinned.is_some())
}

/// Makes a link. Before all others: a program in front of ours could let a packet out with a word that ends the line.
pub(super) fn attach(program: &mut SchedClassifier, interface: &Interface) -> Result<Made, EgressError> {
    let failed = |source| refused(interface, KernelVersion::current().ok(), source);
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program
        .attach_with_options(&interface.name, TcAttachType::Egress, first)
        .map_err(failed)?;
    let link = program.take_link(id).map_err(failed)?;
    let link = FdLink::try_from(link).map_err(|_no_link| EgressError::NoLink(interface.name.clone()))?;
    Ok(Made { link, fallback: None })
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

/// Makes the link hold the program.
pub(super) fn update(program: &mut SchedClassifier, pinned: Pinned) -> Result<(), UpdateError> {
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
    #[error("cannot attach to what goes out on `{interface}`: needs Linux 6.6 with CONFIG_NET_XGRESS")]
    Attach {
        /// The interface.
        interface: String,
        /// Why.
        source: ProgramError,
    },
    /// The kernel is older than the hook.
    #[error(
        "the policy keeps flows or judges what the host sends, and that needs Linux 6.6 (TCX); this is {major}.{minor}, and its `clsact` hook is not supported yet: write `stateful = false` and `outbound = \"allow\"`, and take the outbound rules out"
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

#[cfg(test)]
mod tests {
    use aya::programs::ProgramError;
    use aya::util::KernelVersion;

    use super::{Interface, refused};

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
