//! The hook for packets that go out on kernels without TCX: a filter at the `clsact` queueing discipline, in direct action.
//!
//! program, interface → **clsact** → filter. No link holds it: it stays with its interface until somebody takes it away, and is found
//! again by its place and name. Filters of others, and a discipline that others use, are left alone.

use std::io;

use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType, TcError};

use super::attach::UpdateError;
use super::interface::Interface;
use super::load::OUTBOUND;
use super::netlink::{self, Attributes, HEADER_BYTES, NLM_F_DUMP, word};
use super::pins::{PinDir, PinsError};

/// The id of the program in our filter on the interface; `None` when it has no such filter.
pub(super) fn program(interface: &Interface) -> Result<Option<u32>, ClsactError> {
    let filters = filters(interface.index, EGRESS).map_err(|source| ClsactError::Ask {
        interface: interface.name.clone(),
        source,
    })?;
    Ok(filters.iter().find_map(|filter| ours(filter)))
}

/// Puts a filter on an interface that has none of ours. Before all others: a filter in front of it could let a packet out with a word
/// that ends the line (`TC_ACT_OK`).
pub(super) fn attach(
    pins: &PinDir,
    program: &mut SchedClassifier,
    interface: &Interface,
) -> Result<(), ClsactError> {
    // Before there is something to be forgotten.
    pins.mark(FILTER, interface.index)?;
    discipline(pins, interface)?;
    let place = TcAttachOptions::Netlink(NlOptions {
        priority: PRIORITY,
        handle: HANDLE,
        classid: None,
    });
    let attached = program
        .attach_with_options(&interface.name, TcAttachType::Egress, place)
        .and_then(|id| program.take_link(id));
    match attached {
        Ok(link) => {
            keep(link);
            Ok(())
        }
        Err(source) => {
            let _best_effort = remove(pins, interface.index);
            Err(ClsactError::Attach {
                interface: interface.name.clone(),
                source,
            })
        }
    }
}

/// Makes our filter hold the program, in one step: a filter that is sent again with its place and number changes hands under the
/// packets that pass it.
pub(super) fn update(program: &mut SchedClassifier, interface: &str) -> Result<(), UpdateError> {
    let place = SchedClassifierLink::attached(interface, TcAttachType::Egress, PRIORITY, HANDLE, None);
    let place = place.map_err(TcError::IoError).map_err(ProgramError::from)?;
    let id = program.attach_to_link(place)?;
    keep(program.take_link(id)?);
    Ok(())
}

/// Takes our filter off the interface of that index, and the discipline if it came with the filter and holds nothing else.
pub(super) fn remove(pins: &PinDir, index: u32) -> Result<(), PinsError> {
    let failed = |source| PinsError::Filter { index, source };
    match filters(index, EGRESS) {
        Ok(found) => {
            if found.iter().any(|filter| ours(filter).is_some()) {
                delete_filter(index).map_err(failed)?;
            }
            if pins.marked(DISCIPLINE).contains(&index)
                && kind(index).as_deref() == Some(CLSACT)
                && [EGRESS, INGRESS]
                    .iter()
                    .all(|side| filters(index, *side).is_ok_and(|left| left.is_empty()))
            {
                delete_discipline(index).map_err(failed)?;
            }
        }
        // The interface is gone, and with it all that was on it.
        Err(error) if error.raw_os_error() == Some(ENODEV) => {}
        Err(error) => return Err(failed(error)),
    }
    pins.unmark(DISCIPLINE, index)?;
    pins.unmark(FILTER, index)
}

/// Sees to it that the interface has the discipline.
fn discipline(pins: &PinDir, interface: &Interface) -> Result<(), ClsactError> {
    match kind(interface.index).as_deref() {
        Some(CLSACT) => Ok(()),
        // It takes filters for what goes out, and asks them about what comes in.
        Some(other) => Err(ClsactError::Discipline {
            interface: interface.name.clone(),
            kind: other.to_owned(),
        }),
        None => {
            pins.mark(DISCIPLINE, interface.index)?;
            qdisc_add_clsact(&interface.name).map_err(|source| {
                let _best_effort = pins.unmark(DISCIPLINE, interface.index);
                let _best_effort = pins.unmark(FILTER, interface.index);
                ClsactError::Add {
                    interface: interface.name.clone(),
                    source,
                }
            })
        }
    }
}

/// Lets go of a filter without taking it away, which dropping it would do.
fn keep(link: SchedClassifierLink) {
    std::mem::forget(link);
}

/// What kind of discipline stands where `clsact` would.
fn kind(index: u32) -> Option<String> {
    let body = tcmsg(index, 0, CLSACT_PARENT, 0);
    // The kernel tells everybody who listens, and who asks only when an echo is asked for.
    let answers = netlink::request(RTM_GETQDISC, NLM_F_ECHO, &body).ok()?;
    let answer = answers
        .iter()
        .find(|answer| netlink::kind(answer) == Some(RTM_NEWQDISC))?;
    text(attribute(attributes(answer), TCA_KIND)?)
}

/// The filters of one side, each a message. None where there is no discipline.
fn filters(index: u32, side: u32) -> io::Result<Vec<Vec<u8>>> {
    if kind(index).as_deref() != Some(CLSACT) {
        return Ok(Vec::new());
    }
    let mut answers = netlink::request(RTM_GETTFILTER, NLM_F_DUMP, &tcmsg(index, 0, side, 0))?;
    // Before the filters of a priority comes a message about the priority, without a number.
    answers.retain(|answer| {
        netlink::kind(answer) == Some(RTM_NEWTFILTER)
            && field(answer, TCM_HANDLE).is_some_and(|handle| handle != 0)
    });
    Ok(answers)
}

/// The id of the program, if the filter is ours.
fn ours(filter: &[u8]) -> Option<u32> {
    let here = field(filter, TCM_HANDLE) == Some(u32::from(HANDLE))
        && field(filter, TCM_INFO).is_some_and(|info| info >> 16 == u32::from(PRIORITY));
    let all = attributes(filter);
    if !here || text(attribute(all, TCA_KIND)?)? != "bpf" {
        return None;
    }
    let options = attribute(all, TCA_OPTIONS)?;
    let named = text(attribute(options, TCA_BPF_NAME)?)? == OUTBOUND;
    attribute(options, TCA_BPF_ID).and_then(word).filter(|_| named)
}

fn delete_filter(index: u32) -> io::Result<()> {
    let info = u32::from(PRIORITY) << 16 | u32::from(ETH_P_ALL.to_be());
    netlink::request(RTM_DELTFILTER, 0, &tcmsg(index, u32::from(HANDLE), EGRESS, info)).map(drop)
}

fn delete_discipline(index: u32) -> io::Result<()> {
    netlink::request(RTM_DELQDISC, 0, &tcmsg(index, CLSACT_HANDLE, CLSACT_PARENT, 0)).map(drop)
}

/// `struct tcmsg`: family and padding, interface, handle, parent, info.
fn tcmsg(index: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    let words = [0, index, handle, parent, info];
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn field(message: &[u8], at: usize) -> Option<u32> {
    message.get(HEADER_BYTES + at..).and_then(word)
}

fn attributes(message: &[u8]) -> &[u8] {
    message.get(HEADER_BYTES + TCMSG_BYTES..).unwrap_or_default()
}

fn attribute(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    let found = Attributes(attributes).find(|(kind, _)| *kind == wanted);
    found.map(|(_, value)| value)
}

fn text(value: &[u8]) -> Option<String> {
    let value = value.strip_suffix(&[0]).unwrap_or(value);
    std::str::from_utf8(value).ok().map(str::to_owned)
}

/// Why packets that go out cannot be judged by a filter.
#[derive(Debug, thiserror::Error)]
pub enum ClsactError {
    /// The discipline.
    #[error(
        "cannot add the `clsact` queueing discipline to `{interface}`: needs CAP_NET_ADMIN, and CONFIG_NET_SCH_INGRESS in the kernel"
    )]
    Add {
        /// The interface.
        interface: String,
        /// Why.
        source: TcError,
    },
    /// The kernel did not answer.
    #[error("cannot ask the kernel about the filters of `{interface}`")]
    Ask {
        /// The interface.
        interface: String,
        /// Why.
        source: io::Error,
    },
    /// The filter.
    #[error(
        "cannot attach to what goes out on `{interface}` by `clsact`: needs CONFIG_NET_CLS_BPF in the kernel, and priority 1 not taken by a filter of another kind (`tc filter show dev {interface} egress`)"
    )]
    Attach {
        /// The interface.
        interface: String,
        /// Why.
        source: ProgramError,
    },
    /// Another discipline in its place.
    #[error(
        "`{interface}` has the queueing discipline `{kind}` where `clsact` would stand, and nothing that goes out is shown to its filters: move them to `clsact`, which does all that it does (`tc qdisc del dev {interface} {kind}`, `tc qdisc add dev {interface} clsact`)"
    )]
    Discipline {
        /// The interface.
        interface: String,
        /// What stands there.
        kind: String,
    },
    /// The pin folder.
    #[error(transparent)]
    Pins(#[from] PinsError),
}

/// What is remembered in the pin folder of an interface: that it has our filter.
pub(super) const FILTER: &str = "filter-";
/// That its discipline was added for the filter.
pub(super) const DISCIPLINE: &str = "discipline-";

/// The first there is: 0 asks the kernel to choose.
const PRIORITY: u16 = 1;
/// "rv", and the first of that name. Within a priority filters of this kind have numbers; nobody else is likely to choose this one.
const HANDLE: TcHandle = TcHandle::new(0x7276, 1);

const CLSACT: &str = "clsact";
/// linux/pkt_sched.h: `TC_H_CLSACT` with the minor numbers of its two sides, and where it stands.
const CLSACT_HANDLE: u32 = 0xffff_0000;
const CLSACT_PARENT: u32 = 0xffff_fff1;
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;
const ETH_P_ALL: u16 = 3;
const ENODEV: i32 = 19;
const NLM_F_ECHO: u16 = 8;
const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTFILTER: u16 = 44;
const RTM_DELTFILTER: u16 = 45;
const RTM_GETTFILTER: u16 = 46;
const TCMSG_BYTES: usize = 20;
const TCM_HANDLE: usize = 8;
const TCM_INFO: usize = 16;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_ID: u16 = 11;
