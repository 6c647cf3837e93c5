//! Puts a generation on the wire: one link for each interface, made, updated or removed; all or nothing.
//!
//! load → **attach** → packets are judged. An interface that is already ours is updated in one atomic step, so no packet is
//! judged by half a policy or by none. A program that somebody else attached is never replaced.

use aya::programs::links::{FdLink, LinkError};
use aya::programs::{ProgramError, Xdp, loaded_programs, xdp};
use ravelin_rules::policy::XdpMode;

use super::adopt::{AdoptError, Pinned};
use super::interface::{AttachedMode, Interface, InterfaceError};
use super::load::{Generation, LoadError, PROGRAM};
use super::pins::{PinDir, PinsError};
use crate::causes::chain;

/// A program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The interface's name.
    pub interface: String,
    /// The interface's index.
    pub index: u32,
    /// The mode that was reached.
    pub mode: AttachedMode,
    /// The program's id.
    pub program: u32,
    /// Why it is not native, when that was tried first.
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
    for name in wanted {
        match survey(pins, name, mode)? {
            Survey::Free(interface) => fresh.push(interface),
            Survey::Ours(interface, pinned) => ours.push((interface, pinned)),
        }
    }

    // Interfaces without a program come first: this is where things fail (drivers, modes), and dropping a link that is not
    // pinned undoes it.
    let program = generation.program()?;
    let mut made = Vec::new();
    for interface in &fresh {
        made.push(attach(program, interface, mode)?);
    }
    let mut undo = Undo {
        pins,
        previous,
        updated: Vec::new(),
        pinned: Vec::new(),
    };
    for (interface, pinned) in ours {
        let former = pinned.program;
        if let Err(source) = update(program, pinned) {
            undo.run();
            return Err(AttachError::Update {
                interface: interface.name,
                source,
            });
        }
        undo.updated.push((interface.name, former));
    }
    let mut fallbacks = Vec::new();
    for (interface, Made { link, fallback }) in fresh.iter().zip(made) {
        let path = pins.link(&interface.name);
        // A pin of an interface that is gone would be in the way.
        let _not_there = std::fs::remove_file(&path);
        if let Err(source) = link.pin(&path) {
            undo.run();
            return Err(AttachError::Pin {
                interface: interface.name.clone(),
                source: source.into(),
            });
        }
        undo.pinned.push(interface.name.clone());
        fallbacks.push((interface.name.clone(), fallback));
    }

    for name in pins.linked()? {
        if !wanted.contains(&name) {
            let path = pins.link(&name);
            std::fs::remove_file(&path).map_err(|source| PinsError::Remove { path, source })?;
        }
    }
    let mut attachments = attached(pins)?;
    for attachment in &mut attachments {
        attachment.fallback = fallbacks
            .iter()
            .find(|(name, _)| *name == attachment.interface)
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
    for name in pins.linked()? {
        let Some(pinned) = Pinned::open(&pins.link(&name))? else {
            continue;
        };
        let Ok(interface) = Interface::look(&name) else {
            continue;
        };
        if let Some(on) = interface.xdp
            && pinned.interface == Some(interface.index)
        {
            attachments.push(Attachment {
                interface: name,
                index: interface.index,
                mode: on.mode,
                program: on.program,
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
        source: UpdateError,
    },
}

/// Why a link was not updated.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The link.
    #[error(transparent)]
    Link(#[from] LinkError),
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

fn survey(pins: &PinDir, name: &str, mode: XdpMode) -> Result<Survey, AttachError> {
    let interface = Interface::look(name)?;
    let pinned = Pinned::open(&pins.link(name))?.filter(|pinned| pinned.interface == Some(interface.index));
    match (interface.xdp, pinned) {
        (None, _) => Ok(Survey::Free(interface)),
        (Some(on), Some(pinned)) if on.program == pinned.program => {
            let wanted = match mode {
                XdpMode::Auto => on.mode,
                XdpMode::Generic => AttachedMode::Generic,
                XdpMode::Native => AttachedMode::Native,
            };
            if wanted != on.mode {
                return Err(AttachError::Mode {
                    interface: interface.name,
                    attached: on.mode.word(),
                    wanted: wanted.word(),
                });
            }
            Ok(Survey::Ours(interface, pinned))
        }
        (Some(on), _) => Err(AttachError::Foreign {
            interface: interface.name,
            program: on.program,
            name: program_name(on.program).unwrap_or_else(|| "?".to_owned()),
        }),
    }
}

/// A new link that is not pinned yet: dropped, it is gone.
struct Made {
    link: FdLink,
    fallback: Option<String>,
}

fn attach(program: &mut Xdp, interface: &Interface, mode: XdpMode) -> Result<Made, AttachError> {
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
        (Ok(link), _) => Ok(Made { link, fallback: None }),
        (Err(Refused::Legacy), _) => Err(AttachError::NoLink(interface.name.clone())),
        (Err(Refused::Kernel(error)), None) => Err(failed(error, first)),
        (Err(Refused::Kernel(native)), Some(second)) => match attach_in(program, interface, second) {
            Ok(link) => Ok(Made {
                link,
                fallback: Some(chain(&native)),
            }),
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

fn update(program: &mut Xdp, pinned: Pinned) -> Result<(), UpdateError> {
    let id = program.attach_to_link(pinned.into_link()?)?;
    // Only the descriptor is dropped; the pin holds the link.
    program.take_link(id)?;
    Ok(())
}

/// What has been done so far, to be undone when a later step fails. Best effort: each step of it was possible a moment ago.
struct Undo<'a> {
    pins: &'a PinDir,
    previous: Option<&'a mut Generation>,
    /// Interface, and the id of the program it had.
    updated: Vec<(String, u32)>,
    pinned: Vec<String>,
}

impl Undo<'_> {
    fn run(&mut self) {
        for name in &self.pinned {
            let _best_effort = std::fs::remove_file(self.pins.link(name));
        }
        for (name, former) in &self.updated {
            let Ok(Some(pinned)) = Pinned::open(&self.pins.link(name)) else {
                continue;
            };
            let undone = match self
                .previous
                .as_mut()
                .and_then(|previous| previous.program().ok())
            {
                Some(program) => update(program, pinned).is_ok(),
                None => {
                    program_by_id(*former).is_some_and(|mut program| update(&mut program, pinned).is_ok())
                }
            };
            if !undone {
                tracing::error!(interface = %name, "cannot swap back: the new program stays on this interface");
            }
        }
    }
}

/// A program that an earlier process loaded.
pub(super) fn program_by_id(id: u32) -> Option<Xdp> {
    let info = loaded_programs().flatten().find(|info| info.id() == id)?;
    Xdp::from_program_info(info, PROGRAM.into(), aya_obj::programs::XdpAttachType::Interface).ok()
}

fn program_name(id: u32) -> Option<String> {
    let info = loaded_programs().flatten().find(|info| info.id() == id)?;
    info.name_as_str().map(str::to_owned)
}
