//! `listener.tls.tickets`.

use std::time::Duration;

use super::units;
use crate::diagnostic::{Code, Reporter};
use crate::document::tickets::Tickets as WrittenTickets;
use crate::policy::Tickets;
use crate::source::Written;

/// How tickets are sealed; `None` when there are none.
pub(super) fn check(written: Option<&WrittenTickets>, reporter: &mut Reporter) -> Option<Tickets> {
    let (rotate, lifetime) = match written {
        Some(WrittenTickets::Off) => return None,
        Some(WrittenTickets::Table { rotate, lifetime }) => (rotate.as_ref(), lifetime.as_ref()),
        None => (None, None),
    };
    // Who writes one of them gets the other in the usual proportion.
    let longest = units::duration("lifetime", lifetime, Tickets::LONGEST, reporter);
    let often = units::duration("rotate", rotate, (longest / 2).max(Tickets::SHORTEST), reporter);
    let tickets = Tickets {
        rotate: often,
        lifetime: lifetime.map_or_else(|| often.saturating_mul(2), |_| longest),
    };
    for (key, text, value, most) in [
        ("rotate", rotate, tickets.rotate, Tickets::LONGEST / 2),
        ("lifetime", lifetime, tickets.lifetime, Tickets::LONGEST),
    ] {
        if let Some(text) = text {
            in_bounds(key, text, value, most, reporter);
        }
    }
    if let Some(text) = lifetime.or(rotate) {
        if tickets.lifetime < tickets.rotate {
            let message = "`lifetime` is shorter than `rotate`: keys would be erased while they seal tickets";
            let help = "write a `lifetime` of at least `rotate`, better twice as long";
            reporter.report(Code::OutOfRange, text.span, message, help);
        } else if tickets.lifetime > tickets.rotate.saturating_mul(Tickets::MOST_KEYS) {
            let message = format!("`lifetime` is more than {} times `rotate`", Tickets::MOST_KEYS);
            let help = "rotate less often, or let tickets end sooner: each key that opens tickets is kept, and tried";
            reporter.report(Code::OutOfRange, text.span, message, help);
        }
    }
    Some(tickets)
}

fn in_bounds(key: &str, text: &Written<String>, value: Duration, most: Duration, reporter: &mut Reporter) {
    let hours = most.as_secs() / 3_600;
    if value > most || value < Tickets::SHORTEST {
        let message = format!("`{key}` is not between a second and {hours} hours");
        let help = format!("write a duration from `1s` to `{hours}h`");
        reporter.report(Code::OutOfRange, text.span, message, help);
    }
}
