//! The hook for packets that come in: XDP, in the driver or behind it.
//!
//! program, interface → **ingress** → link. Told which mode is wanted; which interfaces there are is not known here.

use aya::programs::links::FdLink;
use aya::programs::{ProgramError, Xdp, loaded_programs, xdp};
use ravelin_rules::policy::XdpMode;

use super::adopt::Pinned;
use super::attach::{AttachError, UpdateError};
use super::interface::{AttachedMode, Interface};
use super::load::INBOUND;
use crate::causes::chain;

/// Whether the program on the interface is `held`, the one that our link holds, in the mode that is wanted.
pub(super) fn is_ours(interface: &Interface, held: Option<u32>, mode: XdpMode) -> Result<bool, AttachError> {
    let Some(on) = interface.xdp else {
        return Ok(false);
    };
    if held != Some(on.program) {
        return Err(AttachError::Foreign {
            interface: interface.name.clone(),
            program: on.program,
            name: program_name(on.program).unwrap_or_else(|| "?".to_owned()),
        });
    }
    let wanted = match mode {
        XdpMode::Auto => on.mode,
        XdpMode::Generic => AttachedMode::Generic,
        XdpMode::Native => AttachedMode::Native,
    };
    if wanted != on.mode {
        return Err(AttachError::Mode {
            interface: interface.name.clone(),
            attached: on.mode.word(),
            wanted: wanted.word(),
        });
    }
    Ok(true)
}

/// Makes a link. Says why its mode is not native, when that was tried first.
pub(super) fn attach(
    program: &mut Xdp,
    interface: &Interface,
    mode: XdpMode,
) -> Result<(FdLink, Option<String>), AttachError> {
    let (first, second) = match mode {
        XdpMode::Auto => (xdp::XdpMode::Driver, Some(xdp::XdpMode::Skb)),
        XdpMode::Generic => (xdp::XdpMode::Skb, None),
        XdpMode::Native => (xdp::XdpMode::Driver, None),
    };
    let failed = |source, mode| AttachError::Attach {
        interface: interface.name.clone(),
        mode: if mode == xdp::XdpMode::Skb {
            "generic"
        } else {
            "native"
        },
        source,
    };
    match (attach_in(program, interface, first), second) {
        (Ok(link), _) => Ok((link, None)),
        (Err(Refused::Legacy), _) => Err(AttachError::NoLink(interface.name.clone())),
        (Err(Refused::Kernel(error)), None) => Err(failed(error, first)),
        (Err(Refused::Kernel(native)), Some(second)) => match attach_in(program, interface, second) {
            Ok(link) => Ok((link, Some(chain(&native)))),
            Err(Refused::Legacy) => Err(AttachError::NoLink(interface.name.clone())),
            Err(Refused::Kernel(error)) => Err(failed(error, second)),
        },
    }
}

enum Refused {
    Kernel(ProgramError),
    /// aya falls back to netlink when the kernel answers EINVAL. Such an attachment has no descriptor and cannot be pinned.
    Legacy,
}

fn attach_in(program: &mut Xdp, interface: &Interface, mode: xdp::XdpMode) -> Result<FdLink, Refused> {
    let id = program
        .attach_to_if_index(interface.index, mode)
        .map_err(Refused::Kernel)?;
    let link = program.take_link(id).map_err(Refused::Kernel)?;
    // The link that does not convert is dropped here, and that detaches it.
    FdLink::try_from(link).map_err(|_legacy| Refused::Legacy)
}

pub(super) fn update(program: &mut Xdp, pinned: Pinned) -> Result<(), UpdateError> {
    let id = program.attach_to_link(pinned.into_link()?)?;
    // Only the descriptor is dropped; the pin holds the link.
    program.take_link(id)?;
    Ok(())
}

/// A program that an earlier process loaded.
pub(super) fn program_by_id(id: u32) -> Option<Xdp> {
    let info = loaded_programs().flatten().find(|info| info.id() == id)?;
    Xdp::from_program_info(info, INBOUND.into(), aya_obj::programs::XdpAttachType::Interface).ok()
}

fn program_name(id: u32) -> Option<String> {
    let info = loaded_programs().flatten().find(|info| info.id() == id)?;
    info.name_as_str().map(str::to_owned)
}
