//! Who may connect, how often and how many at once: decided before the TLS stack sees a byte.
//!
//! accept → **limit** → TLS. The order is fixed: address lists (`ranges`), all connections of the listener (`total`), the
//! source's connections and its rate (`limiter`: a bounded `table` of entries judged by a `meter`), the wait for a turn
//! (`wait`). `gate` walks it and hands out the [`Permit`] without which nothing is served. Knows addresses and times, no bytes.

mod gate;
mod limiter;
mod meter;
mod ranges;
mod refused;
mod source;
mod table;
mod total;
mod wait;

pub use gate::{Admission, Entrant, Gate, Permit};
pub use limiter::{Limiter, SourceSlot, Terms, Turn};
pub use ranges::AddressRanges;
pub use refused::Refused;
pub use source::Source;
pub use total::{Total, TotalSlot};
pub(super) use wait::{Abandoned, wait};
