//! Who may connect, how often and how many at once: decided before the TLS stack sees a byte.
//!
//! accept → **limit** → TLS. The order is fixed: address lists (`ranges`), all connections of the listener (`total`), then the
//! connections and the rates of the source and its network, and handshakes (`limiter`: `accounts` in bounded `table`s, judged by a
//! `meter`), the wait for a turn (`line`, `wait`). `gate` walks it and hands out the [`Permit`] without which nothing is served.
//! Bytes per time are `bandwidth`. Knows addresses and times, no content.

mod accounts;
mod bandwidth;
mod gate;
mod limiter;
mod line;
mod meter;
mod ranges;
mod refused;
mod source;
mod table;
mod total;
mod wait;

pub use bandwidth::{Bandwidth, ByteBucket, ByteRate, ByteTurn, QUANTUM};
pub use gate::{Admission, Entrant, Gate, NoEntry, Permit, Waiting, Would};
pub use limiter::{Limiter, NoTurn, Place, Rates, SourceSlot, Terms, Turn};
pub use ranges::AddressRanges;
pub use refused::Refused;
pub use source::Source;
pub use total::{Total, TotalSlot};
pub(super) use wait::{WaitEnd, wait};
