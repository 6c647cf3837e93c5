//! Takes everything of a filter out of the kernel: links and filters, and with them programs, then maps.
//!
//! `ravelin detach` and the control socket → **detach**. Works without a daemon: everything that matters is in the pin folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::attach::{self, AttachError};
use super::clsact;
use super::pins::{PinDir, PinsError};

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// Interfaces on which packets are no longer judged.
    pub interfaces: Vec<String>,
    /// Every pin that was removed.
    pub pins: Vec<String>,
}

/// Removes everything under `pin_dir`; nothing there is not an error.
///
/// # Errors
///
/// When a filter is running on it, or something cannot be removed.
pub fn detach(pin_dir: &Path) -> Result<Detached, DetachError> {
    PinDir::open_existing(pin_dir)?.map_or_else(|| Ok(Detached::default()), remove)
}

/// Removes everything in `pins`.
///
/// # Errors
///
/// What cannot be removed.
pub fn remove(pins: PinDir) -> Result<Detached, DetachError> {
    let interfaces = attach::attached(&pins)?
        .into_iter()
        .map(|attachment| attachment.interface)
        .collect();
    // As links do, they go before the maps.
    for index in pins.marked(clsact::FILTER) {
        clsact::remove(&pins, index)?;
    }
    let removed = pins.remove()?;
    Ok(Detached {
        interfaces,
        pins: removed.iter().map(|path| path.display().to_string()).collect(),
    })
}

/// Why something is still there.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// What is attached could not be read.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The pin folder.
    #[error(transparent)]
    Pins(#[from] PinsError),
}
