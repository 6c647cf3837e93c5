//! Conditions on connection state, as Linux's connection tracking has them: what flows do by themselves, and what they do not.
//!
//! Words of a condition → **`State`** → an [`End`] or a reason; what was met on the way of a hook → notes.

use super::Draft;
use super::chains::End;
use super::matches::Matches;
use crate::policy::{Action, Direction};

/// What a condition asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// First packets, maybe besides others: what a rule of a stateful policy is about.
    New,
    /// Packets of known connections.
    Known,
    /// First packets that belong to a known connection.
    Related,
    /// Packets that fit no connection.
    Invalid,
}

/// A line that is no rule, because flows or essentials do what it says.
#[derive(Clone, Debug)]
pub(super) struct Told {
    state: State,
    place: String,
    direction: Direction,
}

impl State {
    /// Of the words of a condition, in lower case.
    pub(super) fn of<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (mut new, mut known, mut related, mut invalid) = (false, false, false, false);
        for word in words {
            match word {
                "new" => new = true,
                "established" => known = true,
                "related" => related = true,
                "invalid" => invalid = true,
                // Nothing is taken out of the tables of flows.
                "untracked" => {}
                _ => return None,
            }
        }
        match (new, known, related, invalid) {
            (true, _, _, _) => Some(Self::New),
            (false, true, _, false) => Some(Self::Known),
            (false, false, true, false) => Some(Self::Related),
            (false, false, false, true) => Some(Self::Invalid),
            _ => None,
        }
    }

    /// What a line under this condition comes to.
    pub(super) fn end(self, end: Option<End>) -> Result<Option<End>, &'static str> {
        match (self, end) {
            (Self::New, end) => Ok(end),
            // A line that only counts or logs.
            (_, None) => Ok(None),
            (Self::Known | Self::Related, Some(End::Decide(Action::Allow)))
            | (Self::Invalid, Some(End::Decide(Action::Deny))) => Ok(Some(End::Told(vec![self]))),
            (Self::Known | Self::Related, Some(_)) => {
                Err("packets of flows pass before all rules, and no rule is asked about them")
            }
            (Self::Invalid, Some(_)) => Err(NO_CONDITION),
        }
    }
}

/// A condition on connection state that has no counterpart.
pub(super) const NO_CONDITION: &str = "a rule has no condition on connection state but what `stateful` means";

/// Remembers a line that flows stand for; lists what they do not do as it did.
pub(super) fn tell(
    draft: &mut Draft,
    state: State,
    place: &str,
    direction: Direction,
    matches: &Matches,
    denied_before: bool,
) {
    let narrow = Matches {
        family: None,
        ..matches.clone()
    } != Matches::default();
    if state == State::Known && narrow {
        let why = "flows let through what belongs to any of them, not only what fits the other conditions of this rule";
        draft.miss(place, "a condition on known connections", why);
    }
    if state == State::Known && denied_before {
        let why = "packets of flows pass before all rules, those that deny in front of this one included";
        draft.miss(place, "its place behind other rules", why);
    }
    let known = |told: &Told| (told.state, told.place.as_str(), told.direction) == (state, place, direction);
    if !draft.told.iter().any(known) {
        draft.told.push(Told {
            state,
            place: place.to_owned(),
            direction,
        });
    }
}

/// When all hooks have been read: says what became of connection state.
pub(super) fn conclude(draft: &mut Draft) {
    if !draft.stateful {
        return;
    }
    tell_notes(draft);
    for direction in Direction::ALL {
        let default = match direction {
            Direction::Inbound => draft.inbound,
            Direction::Outbound => draft.outbound,
        };
        let told = |told: &Told| told.state == State::Known && told.direction == direction;
        if draft.denies(direction, default) && !draft.told.iter().any(told) {
            draft.miss(
                &format!("hook of {}", direction.word()),
                "known connections",
                "no rule for them was found at this hook, and flows let their packets through; write `stateful = false` if that is not meant",
            );
        }
    }
}

fn tell_notes(draft: &mut Draft) {
    let mut notes = Vec::new();
    for (state, what) in [
        (
            State::Known,
            "Flows let through what belongs to a connection that a rule or a default let in or out, in both directions and before all rules \
             (`stateful = true`, which is the default). They stand for",
        ),
        (
            State::Related,
            "ICMP errors pass without a rule (`essentials`); nothing else is related to a flow. That stands for",
        ),
        (
            State::Invalid,
            "A packet that belongs to no connection is let through by no flow, and judged by the rules like a first one. There is no rule for",
        ),
    ] {
        let mut places: Vec<&str> = Vec::new();
        for told in draft.told.iter().filter(|told| told.state == state) {
            if !places.contains(&told.place.as_str()) {
                places.push(&told.place);
            }
        }
        if !places.is_empty() {
            notes.push(format!("{what}: {}.", listed(&places)));
        }
    }
    draft.notes.extend(notes);
}

/// A few places; a note stays readable.
fn listed(places: &[&str]) -> String {
    let shown = places.iter().take(MAX_PLACES).copied().collect::<Vec<_>>();
    match places.len().saturating_sub(MAX_PLACES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

const MAX_PLACES: usize = 20;
