//! Puts a generation on the wire: one link, or filter, for each interface and direction, made, updated or removed; all or nothing.
//!
//! load → **attach** → packets are judged. An interface that is already ours is updated in one atomic step, so no packet is
//! judged by half a policy or by none. A program that somebody else attached is never replaced.

use aya::programs::ProgramError;
use aya::programs::links::LinkError;
use ravelin_datapath::Direction;
use ravelin_rules::policy::{OutboundHook, XdpMode};

use super::adopt::{AdoptError, Pinned};
use super::egress::EgressError;
use super::interface::{AttachedMode, Interface, InterfaceError};
use super::load::{Generation, LoadError};
use super::pins::{PinDir, PinsError};
use super::undo::Undo;
use super::{clsact, egress, ingress};

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
    /// The program for packets that go out, when there is one.
    pub outbound: Option<Outbound>,
    /// Why the mode is not native, when that was tried first.
    pub fallback: Option<String>,
}

/// The program for packets that go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Its id.
    pub program: u32,
    /// Where it stands.
    pub hook: Hook,
}

/// Where a program stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// XDP.
    Xdp,
    /// TCX, on the way out.
    Tcx,
    /// The `clsact` queueing discipline, on the way out.
    Clsact,
}

impl Hook {
    /// The word in policies and messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }

    /// Which packets pass it.
    #[must_use]
    pub const fn direction(self) -> Direction {
        match self {
            Self::Xdp => Direction::Inbound,
            Self::Tcx | Self::Clsact => Direction::Outbound,
        }
    }
}

/// How programs are to be attached.
#[derive(Clone, Copy, Debug)]
pub struct Modes {
    /// That for packets that come in.
    pub inbound: XdpMode,
    /// That for packets that go out.
    pub outbound: OutboundHook,
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
    modes: Modes,
) -> Result<Vec<Attachment>, AttachError> {
    let mut ours = Vec::new();
    let mut fresh = Vec::new();
    let mut chosen = Vec::new();
    // Outbound first: where flows are kept, what the host sends from now on is known before what comes in is judged.
    for direction in Direction::ALL.into_iter().rev() {
        for name in wanted.iter().filter(|_| generation.judges(direction)) {
            let interface = Interface::look(name)?;
            let (hook, held) = survey(pins, direction, &interface, modes)?;
            chosen.push((hook, interface.clone()));
            match held {
                None => fresh.push((hook, interface)),
                Some(held) => ours.push((hook, interface, held)),
            }
        }
    }

    // Interfaces without a program at the hook come first, each with its pin: this is where things fail (drivers, modes, the pin
    // folder), and what is judged by an earlier generation has not been touched then.
    let mut undo = Undo::new(pins, previous);
    let mut fallbacks = Vec::new();
    for (hook, interface) in fresh {
        match make(pins, generation, hook, &interface, modes) {
            Ok(fallback) => {
                fallbacks.push((interface.name.clone(), fallback));
                undo.made(hook, interface);
            }
            Err(error) => {
                undo.run();
                return Err(error);
            }
        }
    }
    for (hook, interface, held) in ours {
        if hook == Hook::Clsact {
            // It may be one whose marks were lost with the pin folder.
            if let Err(error) = pins.mark(clsact::FILTER, interface.index) {
                undo.run();
                return Err(error.into());
            }
        }
        let former = undo.former(hook, &held);
        if let Err(source) = update(generation, held) {
            undo.run();
            return Err(AttachError::Update {
                interface: interface.name,
                source: source.into(),
            });
        }
        if let Some(former) = former {
            undo.updated(hook, interface, former);
        }
    }

    remove_others(pins, &chosen)?;
    let mut attachments = attached(pins)?;
    for attachment in &mut attachments {
        attachment.fallback = fallbacks
            .iter()
            .find(|(name, why)| *name == attachment.interface && why.is_some())
            .and_then(|(_, why)| why.clone());
    }
    Ok(attachments)
}

/// Takes away what stands elsewhere than was chosen. Last of all: a packet that goes out while the program moves from one hook to the
/// other is judged at both, and goes out when both let it.
fn remove_others(pins: &PinDir, chosen: &[(Hook, Interface)]) -> Result<(), AttachError> {
    for hook in [Hook::Xdp, Hook::Tcx] {
        for name in pins.linked(hook.direction())? {
            let stays = |(at, interface): &(Hook, Interface)| *at == hook && interface.name == name;
            if !chosen.iter().any(stays) {
                let path = pins.link(hook.direction(), &name);
                std::fs::remove_file(&path).map_err(|source| PinsError::Remove { path, source })?;
            }
        }
    }
    for index in pins.marked(clsact::FILTER) {
        let stays = |(at, interface): &(Hook, Interface)| *at == Hook::Clsact && interface.index == index;
        if !chosen.iter().any(stays) {
            clsact::remove(pins, index)?;
        }
    }
    Ok(())
}

/// What is pinned and live.
///
/// # Errors
///
/// When the pin folder or an interface cannot be read.
pub fn attached(pins: &PinDir) -> Result<Vec<Attachment>, AttachError> {
    let mut attachments = Vec::new();
    for name in pins.linked(Direction::Inbound)? {
        let Ok(interface) = Interface::look(&name) else {
            continue;
        };
        if let Some(on) = interface.xdp
            && held(pins, Hook::Xdp, &interface)?.is_some()
        {
            let mut outbound = None;
            for hook in [Hook::Tcx, Hook::Clsact] {
                if outbound.is_none() {
                    let held = held(pins, hook, &interface)?;
                    outbound = held.map(|held| Outbound {
                        program: held.program(),
                        hook,
                    });
                }
            }
            attachments.push(Attachment {
                interface: name,
                index: interface.index,
                mode: on.mode,
                program: on.program,
                outbound,
                fallback: None,
            });
        }
    }
    Ok(attachments)
}

/// Whether the filter for what goes out is no longer there: no link held it, and somebody has taken it away.
#[must_use]
pub fn has_lost_filter(attachment: &Attachment) -> bool {
    let filter = attachment
        .outbound
        .filter(|outbound| outbound.hook == Hook::Clsact);
    let interface = filter.and_then(|_| Interface::look(&attachment.interface).ok());
    interface.is_some_and(|interface| matches!(clsact::program(&interface), Ok(None)))
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

/// What holds a program of ours.
pub(super) enum Held {
    /// A link.
    Link(Hook, Pinned),
    /// A filter on an interface.
    Filter {
        /// The interface.
        interface: String,
        /// The id of its program.
        program: u32,
    },
}

impl Held {
    /// The id of the program.
    pub(super) const fn program(&self) -> u32 {
        match self {
            Self::Link(_, pinned) => pinned.program,
            Self::Filter { program, .. } => *program,
        }
    }
}

/// Where the program is to stand on the interface, and what holds one of ours there.
fn survey(
    pins: &PinDir,
    direction: Direction,
    interface: &Interface,
    modes: Modes,
) -> Result<(Hook, Option<Held>), AttachError> {
    let hook = match direction {
        Direction::Inbound => Hook::Xdp,
        Direction::Outbound => egress::hook(interface, modes.outbound)?,
    };
    let mut held = held(pins, hook, interface)?;
    if hook == Hook::Xdp && !ingress::is_ours(interface, held.as_ref().map(Held::program), modes.inbound)? {
        held = None;
    }
    Ok((hook, held))
}

/// What holds a program of ours at the hook.
pub(super) fn held(pins: &PinDir, hook: Hook, interface: &Interface) -> Result<Option<Held>, AttachError> {
    match hook {
        Hook::Xdp | Hook::Tcx => {
            let pinned = Pinned::open(hook.direction(), &pins.link(hook.direction(), &interface.name))?;
            // Otherwise it is one of an interface that is gone.
            let pinned = pinned.filter(|pinned| pinned.interface == Some(interface.index));
            Ok(pinned.map(|pinned| Held::Link(hook, pinned)))
        }
        Hook::Clsact => {
            let program = clsact::program(interface).map_err(EgressError::from)?;
            Ok(program.map(|program| Held::Filter {
                interface: interface.name.clone(),
                program,
            }))
        }
    }
}

/// Makes what holds the program on an interface that has none at the hook, and pins it. Says why the mode is not native, when that was
/// tried first.
fn make(
    pins: &PinDir,
    generation: &mut Generation,
    hook: Hook,
    interface: &Interface,
    modes: Modes,
) -> Result<Option<String>, AttachError> {
    // Not pinned yet: dropped, it is gone.
    let (link, fallback) = match hook {
        Hook::Xdp => ingress::attach(generation.inbound()?, interface, modes.inbound)?,
        Hook::Tcx => (egress::attach(generation.outbound()?, interface)?, None),
        Hook::Clsact => {
            clsact::attach(pins, generation.outbound()?, interface).map_err(EgressError::from)?;
            return Ok(None);
        }
    };
    let path = pins.link(hook.direction(), &interface.name);
    // A pin of an interface that is gone would be in the way.
    let _not_there = std::fs::remove_file(&path);
    link.pin(&path).map_err(|source| AttachError::Pin {
        interface: interface.name.clone(),
        source: source.into(),
    })?;
    Ok(fallback)
}

/// Makes it hold the program of `generation`.
pub(super) fn update(generation: &mut Generation, held: Held) -> Result<(), UpdateError> {
    match held {
        Held::Link(Hook::Xdp, pinned) => ingress::update(generation.inbound()?, pinned),
        held => egress::update(generation.outbound()?, held),
    }
}
