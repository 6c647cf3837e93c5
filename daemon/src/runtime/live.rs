//! What is live in a filter, and how its reloads went: written by the one reload worker, read by everybody who asks.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ravelin_rules::{Policy, SetFiles};

use crate::control::protocol::{FilterStatus, InterfaceStatus, LastReload};
use crate::network::attach::Attachment;
use crate::network::counters::{Counters, CountersError};
use crate::network::{Applied, RuleSlot};
use crate::watch::Seen;

/// A snapshot. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    /// The policy that is judged by; `None` while an earlier process's generation is kept, whose text is not known.
    pub(super) policy: Option<Arc<Policy>>,
    /// Its set files as they were read.
    pub(super) set_files: Arc<SetFiles>,
    /// What was said of it when it was read, for everybody who reloads it.
    pub(super) warnings: Arc<str>,
    /// Whether the state folder holds it.
    pub(super) remembered: bool,
    /// What [`crate::network::Network::apply`] said of it.
    pub(super) applied: Option<Arc<Applied>>,
    /// What is attached while an earlier process's generation is kept.
    pub(super) kept: Vec<Attachment>,
    /// Handles on the counters; `None` when nothing of this version was ever loaded.
    pub(super) counters: Option<Arc<Counters>>,
    /// Files whose change is a reload, as they were before the policy was applied; `None` before the first.
    pub(super) files: Option<Seen>,
    /// How reloads went.
    pub(super) reloads: Reloads,
}

/// How reloads went since the start. The start itself counts as one.
#[derive(Clone, Debug, Default)]
pub(super) struct Reloads {
    pub(super) accepted: u64,
    /// Those that changed the live tables in place.
    pub(super) amended: u64,
    pub(super) refused: u64,
    /// Why the last one was not accepted.
    pub(super) error: Option<String>,
    pub(super) last: Option<SystemTime>,
    pub(super) last_success: Option<SystemTime>,
}

impl Reloads {
    pub(super) fn accept(&mut self, now: SystemTime) {
        self.accepted += 1;
        self.error = None;
        self.last = Some(now);
        self.last_success = Some(now);
    }

    pub(super) fn refuse(&mut self, error: String, now: SystemTime) {
        self.refused += 1;
        self.error = Some(error);
        self.last = Some(now);
    }

    pub(super) fn status(&self) -> LastReload {
        LastReload {
            successful: self.error.is_none(),
            error: self.error.clone(),
            at: self.last.map(seconds),
            accepted: Some(self.accepted),
            refused: Some(self.refused),
        }
    }
}

impl Live {
    pub(super) fn attachments(&self) -> &[Attachment] {
        self.applied
            .as_ref()
            .map_or(&self.kept, |applied| &applied.interfaces)
    }

    /// The rules of the live policy; of a kept generation, every rule that has a counter.
    pub(super) fn rules(&self) -> Result<Vec<RuleSlot>, CountersError> {
        if let Some(applied) = &self.applied {
            return Ok(applied.rules.clone());
        }
        let names = self
            .counters
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), |counters| counters.names())?;
        Ok(names
            .into_iter()
            .map(|(name, slot)| RuleSlot {
                name,
                action: None,
                slot,
            })
            .collect())
    }

    pub(super) fn status(&self) -> Result<FilterStatus, CountersError> {
        let applied = self.applied.as_deref();
        let interfaces = self.attachments().iter().map(|attachment| InterfaceStatus {
            name: attachment.interface.clone(),
            index: attachment.index,
            mode: attachment.mode.word().to_owned(),
            program: attachment.program,
            outbound_program: attachment.outbound.map(|outbound| outbound.program),
            outbound_hook: attachment
                .outbound
                .map(|outbound| outbound.hook.word().to_owned()),
            fallback: attachment.fallback.clone(),
        });
        Ok(FilterStatus {
            generation: applied.map(|applied| applied.generation),
            mode: applied.map(|applied| applied.mode_word().to_owned()),
            rules: self.rules()?.len(),
            table_bytes: applied.map(|applied| applied.table_bytes),
            interfaces: interfaces.collect(),
        })
    }
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
