//! Asks the program that is judging packets now what it does with one more.
//!
//! pin folder → link → program → **`BPF_PROG_TEST_RUN`** → action, and which counters moved. The run counts as a packet: the
//! program does not know that it is asked.

use std::path::{Path, PathBuf};

use aya::programs::{ProgramError, TestRun as _, TestRunOptions};
use ravelin_datapath::{Reason, Verdict};

use super::attach::{self, AttachError};
use super::counters::{Count, Counters, CountersError};
use super::pins::{PinDir, PinsError};

/// What is expected of the program: the counters that have to move.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
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
    /// What it does with the packet: allow is XDP_PASS, deny is XDP_DROP.
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
    let nobody = || AskError::Nobody {
        pin_dir: pin_dir.to_owned(),
        interface: interface.map_or_else(String::new, |name| format!(" on `{name}`")),
    };
    let pins = PinDir::look(pin_dir)?.ok_or_else(nobody)?;
    let mut attachments = attach::attached(&pins)?.into_iter();
    let attachment = attachments
        .find(|attachment| interface.is_none_or(|name| attachment.interface == name))
        .ok_or_else(nobody)?;
    let program = attach::program_by_id(attachment.program).ok_or_else(nobody)?;

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
        Ok((counters.reason(reason, verdict)?, rule))
    };
    let before = read()?;
    let context = context(frame, attachment.index);
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.ctx_in = Some(&context);
    let ran = program.test_run(options).map_err(AskError::Program)?;
    let after = read()?;
    Ok(Live {
        program: attachment.program,
        interface: attachment.interface,
        action: match ran.return_value {
            XDP_PASS => Verdict::Allow,
            // XDP_ABORTED among them: the packet is gone.
            _ => Verdict::Deny,
        },
        reason_moved: after.0 != before.0,
        rule_moved: slot.map(|_| after.1 != before.1),
    })
}

/// `struct xdp_md`: the frame's end, and the interface it came in on (linux/bpf.h).
fn context(frame: &[u8], interface: u32) -> [u8; 24] {
    let end = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let mut context = [0; 24];
    for (field, value) in context.chunks_exact_mut(4).zip([0, end, 0, interface]) {
        field.copy_from_slice(&value.to_ne_bytes());
    }
    context
}

/// linux/bpf.h, `enum xdp_action`.
const XDP_PASS: u32 = 2;

/// Why nobody could be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Which programs are attached is not known.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The counters.
    #[error(transparent)]
    Counters(#[from] CountersError),
    /// Nothing is pinned.
    #[error(
        "no program of Ravelin is attached{interface} by `{}`; start `ravelin filter`, or name its folder with `--pin-dir`", pin_dir.display()
    )]
    Nobody {
        /// The pin folder.
        pin_dir: PathBuf,
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
