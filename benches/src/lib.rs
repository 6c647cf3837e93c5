//! What Ravelin measures of itself.
//!
//! Each bench stands beside this folder. They print medians with their spread, side by side in one run, because the
//! machine is shared: ratios mean something, single figures do not.

mod device;
mod machine;
pub mod nft;
mod pass;
mod plot;
pub mod prefixes;
pub mod processor;
mod replay;
mod report;

pub use device::Device;
pub use pass::Pass;
pub use plot::{Mark, Plot};
pub use replay::{Peer, Replay};
pub use report::{Cell, Column, Report, Table};

/// The median of several rounds, with the lowest and the highest.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The lowest round.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The highest round.
    pub high: f64,
}

impl Spread {
    /// Of these rounds; `None` when there are none.
    #[must_use]
    pub fn of(mut rounds: Vec<f64>) -> Option<Self> {
        rounds.sort_by(f64::total_cmp);
        Some(Self {
            low: *rounds.first()?,
            median: *rounds.get(rounds.len() / 2)?,
            high: *rounds.last()?,
        })
    }
}
