//! The short way of a reload: a few lines of set files have changed and nothing else has, so the live tables are changed in place.
//!
//! changed files → `Edit`s → **amend** → tables, and then all that is known of the policy. Whatever is unusual is left to the long
//! way, which reads everything and builds a new generation.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ravelin_rules::{Change, Edit, SetFiles};

use super::applier::Applier;
use super::live::Live;
use crate::causes::chain;
use crate::control::Answer;
use crate::network::{Applied, Network, addresses};
use crate::watch::Seen;

impl Applier {
    /// Takes the short way. `None`: the long way is to be taken. `seen`: the files as they are now.
    ///
    /// When it ends half-way, the edits that are in the tables are in the policy too, so that the long way may still be refused.
    pub(super) fn amend(&self, network: &mut Network, seen: &Seen) -> Option<Answer> {
        let started = Instant::now();
        let live = self.live();
        let (applied, edits) = Self::edits(&live, seen)?;
        for edit in &edits {
            if !in_tables(network, &self.live(), &edit.change)? {
                return None;
            }
            tracing::info!(
                generation = applied.generation,
                file = %edit.change.file.display(),
                line = edit.change.lines.start,
                added = edit.change.added.len(),
                removed = edit.change.removed.len(),
                microseconds = started.elapsed().as_micros(),
                "set file amended in the live tables"
            );
            self.take(edit)?;
        }
        self.update(|live| {
            live.files = Some(seen.clone());
            live.reloads.accept(SystemTime::now());
            live.reloads.amended += 1;
        });
        self.remember_files(&edits, live.remembered);
        Some(Answer::Reloaded {
            generation: Some(applied.generation),
            warnings: live.warnings.to_string(),
            kept: Vec::new(),
        })
    }

    /// What changed, when it is nothing but lines of set files.
    fn edits<'l>(live: &'l Live, seen: &Seen) -> Option<(&'l Applied, Vec<Edit>)> {
        let changed = seen.changed_since(live.files.as_ref()?);
        let edits = live.set_files.edits(&changed, live.policy.as_ref()?)?;
        let applied = live.applied.as_deref()?;
        let names = applied
            .host
            .interfaces
            .iter()
            .map(|interface| interface.name.as_str());
        let host = addresses::facts(names).ok()?;
        // A reload without a change is a wish for a new generation.
        let usual = !edits.is_empty() && !addresses::differ(&host, &applied.host);
        usual.then_some((applied, edits))
    }

    /// The edit is in the tables: so it is in the policy.
    fn take(&self, edit: &Edit) -> Option<()> {
        let live = self.live();
        let mut set_files = SetFiles::clone(&live.set_files);
        let policy = Arc::new(set_files.take(live.policy.as_ref()?, edit));
        let set_files = Arc::new(set_files);
        self.update(|live| {
            live.policy = Some(Arc::clone(&policy));
            live.set_files = Arc::clone(&set_files);
            live.remembered = false;
        });
        Some(())
    }

    /// Keeps what the edits changed; everything, unless the policy before them is `remembered`.
    fn remember_files(&self, edits: &[Edit], remembered: bool) {
        let live = self.live();
        if !remembered {
            live.policy.iter().for_each(|policy| self.remember_policy(policy));
            return;
        }
        let remember = |edit: &Edit| {
            let file = &edit.change.file;
            let text = live.set_files.text(file);
            text.is_some_and(|text| self.kept(self.state.remember_file(file, text)))
        };
        let kept = edits.iter().all(remember);
        self.update(|live| live.remembered = kept);
    }
}

/// Whether packets are judged by the change.
fn in_tables(network: &mut Network, live: &Live, change: &Change) -> Option<bool> {
    // Comments are not in the tables.
    if change.is_empty() {
        return Some(true);
    }
    let amended = network.amend(live.policy.as_ref()?, change);
    let amended = amended.inspect_err(
        |error| tracing::error!(error = %chain(error), "not amended in place; a new generation is built"),
    );
    Some(amended.unwrap_or(false))
}
