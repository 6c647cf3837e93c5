//! Puts a generation on the wire: one link for each interface and direction, made, updated or removed; all or nothing.
//!
//! load → **attach** → packets are judged. An interface that is already ours is updated in one atomic step, so no packet is
//! judged by half a policy or by none. A program that somebody else attached is never replaced.

use aya::programs::ProgramError;
use aya::programs::links::{FdLink, LinkError};
use ravelin_datapath::Direction;
use ravelin_rules::policy::XdpMode;

use super::adopt::{AdoptError, Pinned};
use super::egress::EgressError;
use super::interface::{AttachedMode, Interface, InterfaceError};
use super::load::{Generation, LoadError};
use super::pins::{PinDir, PinsError};
use super::undo::Undo;
use super::{egress, ingress};

/// The programs on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The interface's name.
    pub interface: String,
    /// The interface's index.
    pub index: u32,
    /// The mode that was reached.
    pub mode: AttachedMode,
    /// The id of the program for packets that come in.
    pub program: u32,
    /// The id of the program for packets that go out, when there is one.
    pub outbound: Option<u32>,
    /// Why the mode is not native, when that was tried first.
    pub fallback: Option<String>,
}

/// Makes `generation` judge the packets of exactly `wanted`. `previous` is swapped back in when a later step fails.
///
/// # Errors
///
/// The step that failed; every interface is then judged by what judged it before.
pub fn swap(
    pins: &PinDir,
    generation: &mut Generation,
    previous: Option<&mut Generation>,
    wanted: &[String],
    mode: XdpMode,
) -> Result<Vec<Attachment>, AttachError> {
    let mut ours = Vec::new();
    let mut fresh = Vec::new();
    // Outbound first: where flows are kept, what the host sends from now on is known before what comes in is judged.
    for direction in Direction::ALL.into_iter().rev() {
        for name in wanted.iter().filter(|_| generation.judges(direction)) {
            match survey(pins, direction, name, mode)? {
                Survey::Free(interface) => fresh.push((direction, interface)),
                Survey::Ours(interface, pinned) => ours.push((direction, interface, pinned)),
            }
        }
    }

    // Interfaces without a program come first, each with its pin: this is where things fail (drivers, modes, the pin folder), and
    // what is judged by an earlier generation has not been touched then.
    let mut undo = Undo::new(pins, previous);
    let mut fallbacks = Vec::new();
    for (direction, interface) in fresh {
        match make(pins, generation, direction, &interface, mode) {
            Ok(fallback) => {
                undo.pinned(direction, interface.name.clone());
                fallbacks.push((interface.name, fallback));
            }
            Err(error) => {
                undo.run();
                return Err(error);
            }
        }
    }
    for (direction, interface, pinned) in ours {
        let former = undo.former(direction, &pinned);
        if let Err(source) = update(generation, direction, pinned) {
            undo.run();
            return Err(AttachError::Update {
                interface: interface.name,
                source: source.into(),
            });
        }
        if let Some(former) = former {
            undo.updated(interface.name, former);
        }
    }

    for direction in Direction::ALL {
        for name in pins.linked(direction)? {
            if !(wanted.contains(&name) && generation.judges(direction)) {
                let path = pins.link(direction, &name);
                std::fs::remove_file(&path).map_err(|source| PinsError::Remove { path, source })?;
            }
        }
    }
    let mut attachments = attached(pins)?;
    for attachment in &mut attachments {
        attachment.fallback = fallbacks
            .iter()
            .find(|(name, why)| *name == attachment.interface && why.is_some())
            .and_then(|(_, why)| why.clone());
    }
    Ok(attachments)
}

/// What is pinned and live.
///
/// # Errors
///
/// When the pin folder or an interface cannot be read.
pub fn attached(pins: &PinDir) -> Result<Vec<Attachment>, AttachError> {
    let mut attachments = Vec::new();
    for name in pins.linked(Direction::Inbound)? {
        let open = |direction| Pinned::open(direction, &pins.link(direction, &name));
        let Some(pinned) = open(Direction::Inbound)? else {
            continue;
        };
        let Ok(interface) = Interface::look(&name) else {
            continue;
        };
        if let Some(on) = interface.xdp
            && pinned.interface == Some(interface.index)
        {
            let outbound =
                open(Direction::Outbound)?.filter(|pinned| pinned.interface == Some(interface.index));
            attachments.push(Attachment {
                interface: name,
                index: interface.index,
                mode: on.mode,
                program: on.program,
                outbound: outbound.map(|pinned| pinned.program),
                fallback: None,
            });
        }
    }
    Ok(attachments)
}

/// Why nothing was swapped.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// A pin is not what it should be.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// Neither native nor generic mode worked.
    #[error("cannot attach to `{interface}` in {mode} mode")]
    Attach {
        /// The interface.
        interface: String,
        /// The last mode tried.
        mode: &'static str,
        /// Why.
        source: ProgramError,
    },
    /// The hook for packets that go out.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// Somebody else's program.
    #[error(
        "`{interface}` already has an XDP program that is not ours: id {program}, `{name}`; remove it first (`ip link set dev {interface} xdp off`, or its owner's command), ravelin replaces no foreign program"
    )]
    Foreign {
        /// The interface.
        interface: String,
        /// The program's id.
        program: u32,
        /// The program's name, `?` when the kernel does not tell.
        name: String,
    },
    /// An interface is not there.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The kernel attached without a link, which ends with the process.
    #[error(
        "the kernel gave no link for `{0}`, so the filter would not outlive the daemon: Linux 5.9 or newer is needed"
    )]
    NoLink(String),
    /// The generation has no program.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The mode of an attached interface cannot change in one step.
    #[error(
        "`{interface}` is attached in {attached} mode and the policy asks for {wanted}: the mode cannot change without a moment in which no packet is judged; `ravelin detach` and start again if that is acceptable"
    )]
    Mode {
        /// The interface.
        interface: String,
        /// The mode it has.
        attached: &'static str,
        /// The mode it should have.
        wanted: &'static str,
    },
    /// A link could not be pinned.
    #[error("cannot pin the link on `{interface}`")]
    Pin {
        /// The interface.
        interface: String,
        /// Why.
        source: Box<aya::pin::PinError>,
    },
    /// The pin folder.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The atomic update of a link failed.
    #[error("cannot swap the program on `{interface}`")]
    Update {
        /// The interface.
        interface: String,
        /// Why.
        source: Box<UpdateError>,
    },
}

/// Why a link was not updated.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The generation has no program.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The program.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// What stands on an interface before the swap.
enum Survey {
    /// Nothing: a link will be made.
    Free(Interface),
    /// Our link: it will be updated.
    Ours(Interface, Pinned),
}

fn survey(pins: &PinDir, direction: Direction, name: &str, mode: XdpMode) -> Result<Survey, AttachError> {
    let interface = Interface::look(name)?;
    let pinned = Pinned::open(direction, &pins.link(direction, name))?
        .filter(|pinned| pinned.interface == Some(interface.index));
    let ours = match direction {
        Direction::Inbound => ingress::is_ours(&interface, pinned.as_ref(), mode)?,
        Direction::Outbound => egress::is_ours(&interface, pinned.as_ref())?,
    };
    Ok(match pinned {
        Some(pinned) if ours => Survey::Ours(interface, pinned),
        _ => Survey::Free(interface),
    })
}

/// Makes a link on an interface that has none, and pins it. Says why the mode is not native, when that was tried first.
fn make(
    pins: &PinDir,
    generation: &mut Generation,
    direction: Direction,
    interface: &Interface,
    mode: XdpMode,
) -> Result<Option<String>, AttachError> {
    let Made { link, fallback } = match direction {
        Direction::Inbound => ingress::attach(generation.inbound()?, interface, mode)?,
        Direction::Outbound => egress::attach(generation.outbound()?, interface)?,
    };
    let path = pins.link(direction, &interface.name);
    // A pin of an interface that is gone would be in the way.
    let _not_there = std::fs::remove_file(&path);
    link.pin(&path).map_err(|source| AttachError::Pin {
        interface: interface.name.clone(),
        source: source.into(),
    })?;
    Ok(fallback)
}

/// A new link that is not pinned yet: dropped, it is gone.
pub(super) struct Made {
    pub(super) link: FdLink,
    pub(super) fallback: Option<String>,
}

/// Makes the link hold the program of `generation`.
pub(super) fn update(
    generation: &mut Generation,
    direction: Direction,
    pinned: Pinned,
) -> Result<(), UpdateError> {
    match direction {
        Direction::Inbound => ingress::update(generation.inbound()?, pinned),
        Direction::Outbound => egress::update(generation.outbound()?, pinned),
    }
}
