//! Chains of rules that jump to each other, made one list.
//!
//! A jump under conditions becomes the rules of the other chain under these conditions too. What one list cannot say, a return
//! in the middle above all, is listed.

use std::collections::HashMap;

use super::Draft;
use super::matches::{Clash, Matches};
use super::states::{self, State};
use crate::policy::{Action, Direction};

/// One line of a chain.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Where it stands.
    pub(super) place: String,
    /// What a name can be made of.
    pub(super) words: String,
    pub(super) comment: String,
    pub(super) matches: Matches,
    pub(super) end: End,
    /// It asks for first packets only (`new`), or for others.
    pub(super) stateful: bool,
}

/// What a line does with packets that fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Decide(Action),
    Jump(String),
    /// Jump, and what comes behind the jump is not asked.
    Goto(String),
    Return,
    /// Nothing that a rule has to say.
    Told(Vec<State>),
}

pub(super) type Chains = HashMap<String, Vec<Line>>;

/// Adds the rules of the chain called `base`, and of those it jumps to.
pub(super) fn flatten(draft: &mut Draft, chains: &Chains, base: &str, direction: Direction) {
    let mut walk = Walk {
        draft,
        chains,
        direction,
        steps: 0,
        denied: false,
    };
    walk.chain(base, &Matches::default(), 0);
}

struct Walk<'a> {
    draft: &'a mut Draft,
    chains: &'a Chains,
    direction: Direction,
    steps: usize,
    /// A rule denied packets of known connections too.
    denied: bool,
}

impl Walk<'_> {
    fn chain(&mut self, name: &str, under: &Matches, depth: usize) {
        let Some(lines) = self.chains.get(name) else {
            return;
        };
        for (at, line) in lines.iter().enumerate() {
            let is_last = at + 1 == lines.len();
            self.steps += 1;
            if self.steps > MAX_STEPS {
                if self.steps == MAX_STEPS + 1 {
                    let why = "the chains jump to each other too often; write them out";
                    self.draft.miss(&line.place, "everything from here on", why);
                }
                return;
            }
            let matches = match under.and(&line.matches) {
                Ok(matches) => matches,
                // No packet gets here.
                Err(Clash::Never) => continue,
                Err(Clash::Unsayable(key)) => {
                    let why =
                        "the jump to this chain has another condition of the same kind, and a rule has one";
                    self.draft.miss(&line.place, format!("its {key}"), why);
                    continue;
                }
            };
            self.draft.stateful |= line.stateful;
            match &line.end {
                End::Decide(action) => {
                    self.draft
                        .rule(&line.words, &line.comment, self.direction, *action, matches);
                    self.denied |= *action == Action::Deny && !line.stateful;
                    // What stands behind a rule for everything is never asked, but about packets of known connections.
                    if !line.stateful && line.matches.is_everything() && line.matches.family.is_none() {
                        return;
                    }
                }
                End::Jump(to) | End::Goto(to) if depth >= MAX_DEPTH => {
                    self.draft.miss(
                        &line.place,
                        format!("jump to {to}"),
                        "chains jump deeper than 16 levels",
                    );
                }
                End::Jump(to) => self.chain(to, &matches, depth + 1),
                End::Goto(to) => {
                    self.chain(to, &matches, depth + 1);
                    if !is_last && line.matches.is_everything() {
                        return;
                    }
                    if !is_last && !self.always_decides(to) {
                        let why = "a list of rules cannot leave out those behind it; turn it into a jump";
                        self.draft.miss(&line.place, format!("goto {to}"), why);
                    }
                }
                End::Told(told) => {
                    self.draft.stateful = true;
                    for state in told {
                        let (draft, place) = (&mut *self.draft, &line.place);
                        states::tell(draft, *state, place, self.direction, &matches, self.denied);
                    }
                }
                End::Return if line.matches.is_everything() => return,
                End::Return if is_last => {}
                End::Return => {
                    let why = "a list of rules cannot leave out those behind it; turn the condition round";
                    self.draft.miss(&line.place, "return under a condition", why);
                }
            }
        }
    }
}

impl Walk<'_> {
    /// Whether no packet comes back from the chain.
    fn always_decides(&self, chain: &str) -> bool {
        let lines = self.chains.get(chain).map_or(&[][..], Vec::as_slice);
        let comes_back = lines.iter().any(|line| line.end == End::Return);
        let last = lines.last().is_some_and(|line| {
            matches!(line.end, End::Decide(_))
                && line.matches.is_everything()
                && line.matches.family.is_none()
        });
        last && !comes_back
    }
}

/// As deep as the kernel lets nft chains jump.
const MAX_DEPTH: usize = 16;

/// Each chain that jumps twice to the next doubles the rules.
const MAX_STEPS: usize = 100_000;
