//! Why somebody is not banned, and why nobody can be: the words for it, and what is counted under them.
//!
//! bans → **refusal** → who has asked, and metrics.

use aya::maps::MapError;
use ipnet::IpNet;
use ravelin_datapath::wire::{BAN_REASON_BYTES, BANS};

use crate::network::tables::TablesError;

/// Why somebody is not banned. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The bans could not be looked through for room.
    #[error(transparent)]
    Bans(#[from] BansError),
    /// No room.
    #[error(
        "there are {BANS} bans already, and there is no room for more: `ravelin unban` makes some, or ban wider prefixes; those that are there stay"
    )]
    Full,
    /// The kernel refused.
    #[error("the kernel does not take the ban")]
    Kernel(#[source] MapError),
    /// The policy says so.
    #[error(
        "`{prefix}` is in `{entry}` of `[never_ban]`: take it out of the policy first, if it must be banned"
    )]
    NeverBan {
        /// Whom.
        prefix: IpNet,
        /// By which entry.
        entry: IpNet,
    },
    /// The policy carries out none.
    #[error("the policy switches bans off: take `bans = false` out of `[firewall]`")]
    Off,
    /// A reason that is none.
    #[error(
        "the reason is longer than {BAN_REASON_BYTES} bytes, or has control characters: write fewer words"
    )]
    Reason,
    /// No room for who may not use all of it.
    #[error("there are {0} bans, and the room for more is for operators")]
    Share(u32),
    /// What is written is no prefix, no duration.
    #[error("{0}")]
    Text(String),
    /// A slip of a digit must not ban half the internet.
    #[error("`{prefix}` is wider than /{least}: write narrower prefixes, or a rule of the policy")]
    TooWide {
        /// Whom.
        prefix: IpNet,
        /// The widest that is taken.
        least: u8,
    },
}

impl Refusal {
    /// Their words in metrics.
    pub const KINDS: [&'static str; 6] = ["full", "invalid", "kernel", "never_ban", "off", "too_wide"];

    pub(super) const fn kind(&self) -> usize {
        match self {
            Self::Full | Self::Share(_) => 0,
            Self::Reason | Self::Text(_) => 1,
            Self::Bans(_) | Self::Kernel(_) => 2,
            Self::NeverBan { .. } => 3,
            Self::Off => 4,
            Self::TooWide { .. } => 5,
        }
    }
}

/// Why bans cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BansError {
    /// The clocks.
    #[error("cannot read the clock")]
    Clock(#[source] nix::Error),
    /// The filter.
    #[error(transparent)]
    Filter(#[from] TablesError),
    /// A map.
    #[error("cannot use the map of bans")]
    Map(#[source] MapError),
    /// A map is not pinned.
    #[error("cannot open the pinned map `{name}`")]
    Open {
        /// The map.
        name: &'static str,
        /// Why.
        source: MapError,
    },
    /// The bans could not be read.
    #[error("cannot read the bans")]
    Read(#[source] std::io::Error),
}
