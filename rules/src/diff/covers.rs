//! Which box a frame lies in: for tests, and for whoever asks about one packet.

use ravelin_datapath::{ClassVerdict, Origin, ParseClass};

use super::{Change, Difference};
use crate::policy::Timestamp;
use crate::reference::{Facts, examine};
use crate::space::{FRAGMENT, Level, is_marked};
use crate::{Direction, HostFacts, Policy};

impl Difference {
    /// Every box that holds the frame. A frame without the facts that rules ask about lies in none.
    #[must_use]
    pub fn covering(
        &self,
        host: &HostFacts,
        direction: Direction,
        origin: Origin,
        frame: &[u8],
    ) -> Vec<&Change> {
        let mut open = Policy::default();
        open.firewall.essentials = false;
        for class in ParseClass::ALL.iter().filter(|class| class.judgeable()) {
            open.firewall.classes = open.firewall.classes.with(*class, ClassVerdict::Judge);
        }
        let examined = examine(&open, &HostFacts::default(), direction, origin, frame);
        let Some(facts) = examined.facts else {
            return Vec::new();
        };
        let whole = examined.decision.seen.contains(ParseClass::UnknownNextHeader);
        let is_fragment = !whole && is_marked(facts.source.is_ipv6(), facts.protocol);
        let place = host
            .interfaces
            .iter()
            .position(|interface| interface.index == origin.interface);
        let interface = place.map_or(0, |place| 1 + place as u128);
        let unix = i128::from(host.clock.unix) + i128::from(origin.now) - i128::from(host.clock.boot);
        let inside = |change: &&Change| {
            change.direction == direction
                && reached(change.from, unix)
                && !change.until.is_some_and(|until| reached(Some(until), unix))
                && Level::ALL.iter().all(|level| {
                    let value = match level {
                        Level::Time => return true,
                        Level::Interface => interface,
                        Level::Flags if is_fragment => FRAGMENT,
                        level => coordinate(*level, &facts),
                    };
                    let side = change.block.side(*level);
                    side.iter().any(|run| (run.first..=run.last).contains(&value))
                })
        };
        self.changes.iter().filter(inside).collect()
    }
}

fn reached(moment: Option<Timestamp>, unix: i128) -> bool {
    moment.is_none_or(|moment| unix >= i128::from(moment.unix()) * 1_000_000_000)
}

fn coordinate(level: Level, facts: &Facts) -> u128 {
    let address = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        std::net::IpAddr::V6(address) => address.to_bits(),
    };
    let key = facts.ports().map(|(_, port)| u128::from(port)).or_else(|| {
        let (kind, code) = facts.message()?;
        Some(u128::from(kind) * 256 + u128::from(code))
    });
    match level {
        Level::Family => u128::from(facts.source.is_ipv6()),
        Level::Source => address(facts.source),
        Level::Destination => address(facts.destination),
        Level::Protocol => facts.protocol.into(),
        Level::Key => key.map_or(0, |key| key + 1),
        Level::SourcePort => facts.ports().map_or(0, |(port, _)| u128::from(port) + 1),
        Level::Flags => facts.tcp_flags().map_or(0, |flags| u128::from(flags) + 1),
        Level::Interface | Level::Time => 0,
    }
}
