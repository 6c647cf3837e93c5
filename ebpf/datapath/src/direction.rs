//! Which way a packet goes. Rules, tables, settings and counters are of one direction each.

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Direction {
    /// From the wire to the host.
    #[default]
    Inbound = 0,
    /// From the host to the wire.
    Outbound = 1,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// The word in policies and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}
