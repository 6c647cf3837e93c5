//! Asks the program that is judging packets now what it does with one more.
//!
//! pin folder → link → program → **`BPF_PROG_TEST_RUN`** → action, and which counters moved. The run counts as a packet: the
//! program does not know that it is asked.

use std::path::{Path, PathBuf};

use aya::programs::{ProgramError, TestRun as _, TestRunOptions};
use ravelin_datapath::{Direction, Reason, Verdict};

use super::attach::{self, AttachError};
use super::counters::{Count, Counters, CountersError};
use super::pins::{PinDir, PinsError};
use super::{egress, ingress, shared};

/// What is expected of the program: the counters that have to move.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Which way the packet goes.
    pub direction: Direction,
    /// The verdict and why.
    pub reason: (Reason, Verdict),
    /// The name of the rule that decides.
    pub rule: Option<&'a str>,
}

/// What the program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The program's id, as `bpftool` shows it.
    pub program: u32,
    /// The interface it was asked on.
    pub interface: String,
    /// What it does with the packet: lets it pass, or drops it.
    pub action: Verdict,
    /// Whether the counter of the expected reason moved. It may have been moved by another packet.
    pub reason_moved: bool,
    /// The same of the expected rule's counter; `None` when no rule is expected. A rule that the program does not have never moves.
    pub rule_moved: Option<bool>,
}

/// Runs the frame through the program on `interface`, or on the first interface that has one.
///
/// # Errors
///
/// [`AskError`] when nobody can be asked.
pub fn ask(
    pin_dir: &Path,
    interface: Option<&str>,
    frame: &[u8],
    expected: Expected<'_>,
) -> Result<Live, AskError> {
    let direction = expected.direction;
    let nobody = || AskError::Nobody {
        pin_dir: pin_dir.to_owned(),
        what: match direction {
            Direction::Inbound => "is attached",
            Direction::Outbound => "judges what goes out",
        },
        interface: interface.map_or_else(String::new, |name| format!(" on `{name}`")),
    };
    let pins = PinDir::look(pin_dir)?.ok_or_else(nobody)?;
    if pins.map(shared::FLOWS).exists() {
        return Err(AskError::KeepsFlows);
    }
    if pins.map(shared::LIMIT_NUMBERS).exists() {
        return Err(AskError::Limits);
    }
    let mut attachments = attach::attached(&pins)?.into_iter();
    let attachment = attachments
        .find(|attachment| interface.is_none_or(|name| attachment.interface == name))
        .ok_or_else(nobody)?;
    let program = match direction {
        Direction::Inbound => attachment.program,
        Direction::Outbound => attachment.outbound.ok_or_else(nobody)?.program,
    };

    let counters = Counters::open(&pins)?;
    let names = counters.names()?;
    let slot = expected.rule.map(|rule| {
        let mut names = names.iter();
        names
            .find(|(name, _)| name.as_str() == rule)
            .map(|(_, slot)| *slot)
    });
    let read = || -> Result<(Count, Option<Count>), CountersError> {
        let (reason, verdict) = expected.reason;
        let rule = slot.flatten().map(|slot| counters.rule(slot)).transpose()?;
        Ok((counters.reason(direction, reason, verdict)?, rule))
    };
    let before = read()?;
    let context = context(direction, frame, attachment.index);
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.ctx_in = Some(&context);
    let ran = match direction {
        Direction::Inbound => ingress::program_by_id(program)
            .ok_or_else(nobody)?
            .test_run(options),
        Direction::Outbound => egress::program_by_id(program)
            .ok_or_else(nobody)?
            .test_run(options),
    };
    let action = ran.map_err(AskError::Program)?.return_value;
    let after = read()?;
    Ok(Live {
        program,
        interface: attachment.interface,
        action: match (direction, action) {
            (Direction::Inbound, XDP_PASS) | (Direction::Outbound, TCX_NEXT) => Verdict::Allow,
            // XDP_ABORTED among them: the packet is gone.
            _ => Verdict::Deny,
        },
        reason_moved: after.0 != before.0,
        rule_moved: slot.map(|_| after.1 != before.1),
    })
}

/// The beginning of `struct xdp_md`: the frame's end, and the interface it came in on. Of `struct __sk_buff`: the interface that
/// it goes out on (linux/bpf.h).
fn context(direction: Direction, frame: &[u8], interface: u32) -> Vec<u8> {
    let end = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let words = match direction {
        Direction::Inbound => vec![0, end, 0, interface, 0, 0],
        Direction::Outbound => vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, interface],
    };
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// linux/bpf.h, `enum xdp_action`.
const XDP_PASS: u32 = 2;

/// linux/bpf.h, `enum tcx_action_base`: -1.
const TCX_NEXT: u32 = u32::MAX;

/// Why nobody could be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Which programs are attached is not known.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The counters.
    #[error(transparent)]
    Counters(#[from] CountersError),
    /// A packet that is asked about would be remembered as one that was there.
    #[error(
        "`--live` is not supported yet while the policy keeps flows: the program would take the question for a packet, and let its replies through; leave `--live` out, or write `stateful = false`"
    )]
    KeepsFlows,
    /// A packet that is asked about would take from the buckets of others.
    #[error(
        "`--live` is not supported yet while the policy limits something: the question would take from the limits; leave `--live` out"
    )]
    Limits,
    /// Nothing is pinned.
    #[error(
        "no program of Ravelin {what}{interface} by `{}`; start `ravelin filter`, or name its folder with `--pin-dir`", pin_dir.display()
    )]
    Nobody {
        /// The pin folder.
        pin_dir: PathBuf,
        /// What no program does.
        what: &'static str,
        /// ` on` an interface, or nothing.
        interface: String,
    },
    /// The pin folder.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The kernel does not run it. It takes frames of at least 14 bytes, as root, in the network namespace of the interface.
    #[error("the kernel does not run the program; `--live` needs root, and a frame of 14 to 3,500 bytes")]
    Program(#[source] ProgramError),
}
