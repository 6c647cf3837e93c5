//! Turns wishes into generations: reads the policy, applies it, keeps what is needed to come back.
//!
//! reload queue → **applier** → `network`, state folder. On any error the last good policy stays, in the kernel and here.
//! One thread at a time applies; readers see the last snapshot and never wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use ravelin_rules::{HostFacts, Loaded, Policy, Report};
use tokio::sync::Notify;

use super::bans::Book;
use super::filter::FilterError;
use super::live::{Live, seconds};
use super::reload::{ReloadQueue, Wishes};
use super::state::{State, StateError};
use crate::causes::chain;
use crate::control::Answer;
use crate::network::attach::has_lost_filter;
use crate::network::metrics::Facts;
use crate::network::{ApplyError, Network, addresses, metrics};
use crate::settings::Settings;
use crate::watch::{Seen, policy_files};

/// The state of a running filter.
#[derive(Debug)]
pub(super) struct Applier {
    pub(super) settings: Settings,
    queue: ReloadQueue,
    pub(super) state: State,
    /// `None` once everything was detached.
    network: Mutex<Option<Network>>,
    pub(super) bans: Arc<Book>,
    live: ArcSwap<Live>,
    reloaded: Notify,
    detached: Notify,
}

impl Applier {
    /// Makes the loaded policy live. If it cannot be: keeps what is in the kernel, or else applies the last good policy.
    pub(super) fn start(
        settings: &Settings,
        network: Network,
        state: State,
        loaded: Result<Loaded, Report>,
    ) -> Result<Self, FilterError> {
        let applier = Self {
            settings: settings.clone(),
            queue: ReloadQueue::default(),
            state,
            network: Mutex::new(None),
            bans: Arc::default(),
            live: ArcSwap::default(),
            reloaded: Notify::new(),
            detached: Notify::new(),
        };
        let mut network = network;
        let failure = match loaded {
            Ok(loaded) => applier
                .apply(&mut network, loaded, &Seen::default())
                .err()
                .map(FilterError::Apply),
            Err(report) => Some(FilterError::Policy {
                diagnostics: report.render(),
            }),
        };
        if let Some(failure) = failure {
            applier.fall_back(&mut network, failure)?;
        }
        *applier.lock() = Some(network);
        Ok(applier)
    }

    /// How long the connections of an edge may go on after a stop. Of the policy that the edge reads too.
    pub(super) fn drain_timeout(&self) -> Duration {
        let live = self.live();
        let edge = live.policy.as_ref().map(|policy| policy.edge);
        edge.unwrap_or_default().drain_timeout
    }

    /// Carries out a batch of wishes.
    pub(super) fn reload(&self, wishes: Wishes) -> Answer {
        let mut guard = self.lock();
        let Some(network) = guard.as_mut() else {
            return failed("everything was detached; ravelin is stopping");
        };
        let answer = if wishes.read {
            self.reread(network, wishes)
        } else {
            self.reapply(network)
        };
        // The policy on disk may be bad, but the host's new addresses are real all the same.
        if wishes.read && wishes.host && !matches!(answer, Answer::Reloaded { .. }) {
            self.reapply(network);
        }
        self.reloaded.notify_one();
        answer
    }

    /// Takes everything out of the kernel.
    pub(super) fn detach(&self) -> Answer {
        let Some(network) = self.lock().take() else {
            return failed("everything was detached already");
        };
        self.bans.close();
        match network.detach() {
            Ok(detached) => Answer::Detached(detached),
            Err(error) => failed(&chain(&error)),
        }
    }

    /// Lets the process end when there is nothing left to do for it.
    pub(super) fn end_if_detached(&self) {
        if self.lock().is_none() {
            self.detached.notify_one();
        }
    }

    /// Waits until everything was detached.
    pub(super) async fn detached(&self) {
        self.detached.notified().await;
    }

    /// Waits until a reload was tried.
    pub(super) async fn reloaded(&self) {
        self.reloaded.notified().await;
    }

    pub(super) fn queue(&self) -> ReloadQueue {
        self.queue.clone()
    }

    pub(super) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Files whose change is a reload, as they were last known.
    pub(super) fn files(&self) -> Seen {
        self.live().files.clone().unwrap_or_else(|| self.config_alone())
    }

    fn config_alone(&self) -> Seen {
        Seen::now([self.settings.config.clone()])
    }

    /// One line for the service manager.
    pub(super) fn summary(&self) -> String {
        let live = self.live();
        let interfaces: Vec<String> = live
            .attachments()
            .iter()
            .map(|attachment| format!("{} ({})", attachment.interface, attachment.mode.word()))
            .collect();
        let generation = live.applied.as_ref().map_or_else(
            || "a kept generation".to_owned(),
            |applied| format!("generation {}", applied.generation),
        );
        let refused = if live.reloads.error.is_some() {
            "; last reload refused"
        } else {
            ""
        };
        format!("{generation} on {}{refused}", interfaces.join(", "))
    }

    /// What the live generation was built with.
    pub(super) fn applied_facts(&self) -> HostFacts {
        let live = self.live();
        live.applied
            .as_ref()
            .map_or_else(HostFacts::default, |applied| applied.host.clone())
    }

    /// What the host looks like now.
    pub(super) fn host_facts(&self) -> HostFacts {
        let live = self.live();
        let interfaces = live.applied.iter().flat_map(|applied| &applied.interfaces);
        let names: Vec<&str> = interfaces
            .map(|attachment| attachment.interface.as_str())
            .collect();
        if names.is_empty() {
            return HostFacts::default();
        }
        addresses::facts(names.into_iter()).unwrap_or_default()
    }

    /// The interfaces that have lost their filter for what goes out.
    pub(super) fn lost_filters(&self) -> Vec<String> {
        let live = self.live();
        let lost = live
            .attachments()
            .iter()
            .filter(|attachment| has_lost_filter(attachment));
        lost.map(|attachment| attachment.interface.clone()).collect()
    }

    /// Takes flows out that have been idle for too long.
    pub(super) fn sweep_flows(&self) {
        let live = self.live();
        let Some(policy) = live.policy.as_ref().filter(|policy| policy.keeps_flows()) else {
            return;
        };
        let guard = self.lock();
        let Some(network) = guard.as_ref() else {
            return;
        };
        match network.sweep_flows(&policy.firewall.flow_timeouts) {
            Ok(swept) => tracing::debug!(swept, "flows that were idle for too long are gone"),
            Err(error) => tracing::warn!(%error, "flows that were idle for too long stay"),
        }
    }

    /// Takes buckets out that are full again.
    pub(super) fn sweep_limits(&self) {
        let guard = self.lock();
        let Some(network) = guard.as_ref() else {
            return;
        };
        match network.sweep_limits() {
            Ok(swept) => tracing::debug!(swept, "buckets that are full again are gone"),
            Err(error) => tracing::warn!(%error, "buckets that are full again stay"),
        }
    }

    /// The filter's metrics.
    pub(super) fn metrics(&self) -> Answer {
        let live = self.live();
        let Some(counters) = &live.counters else {
            return failed("there are no counters yet");
        };
        let bans = self.bans.facts();
        let text = live.rules().map_err(Into::into).and_then(|rules| {
            let facts = Facts {
                applied: live.applied.as_deref(),
                attachments: live.attachments(),
                rules: &rules,
                sets: live.policy.as_ref().map_or(&[], |policy| &policy.sets),
                last_reload_successful: live.reloads.error.is_none(),
                last_success: live.reloads.last_success.map(seconds),
                reloads_accepted: live.reloads.accepted,
                reloads_amended: live.reloads.amended,
                reloads_refused: live.reloads.refused,
                bans: bans.as_ref(),
            };
            metrics::text(counters, facts)
        });
        match text {
            Ok(text) => Answer::Metrics { text },
            Err(error) => failed(&chain(&error)),
        }
    }

    fn reread(&self, network: &mut Network, wishes: Wishes) -> Answer {
        let seen = self.files().again();
        // Only a new generation knows new facts of the host.
        if !wishes.host {
            if !wishes.asked
                && let Some(answer) = self.unchanged(&seen)
            {
                return answer;
            }
            if let Some(answer) = self.amend(network, &seen) {
                return answer;
            }
        }
        let loaded = match self.state.load(&self.settings.config) {
            Ok(loaded) => loaded,
            Err(report) => {
                let diagnostics = report.render();
                tracing::error!(%diagnostics, "policy refused; the last good one stays");
                self.refuse(diagnostics.clone());
                return Answer::Refused { diagnostics };
            }
        };
        let warnings = loaded.warnings.render();
        match self.apply(network, loaded, &seen) {
            Ok(generation) => Answer::Reloaded {
                generation: Some(generation),
                warnings,
                kept: Vec::new(),
            },
            Err(error) => self.refuse_apply(&error),
        }
    }

    /// When the files are as they were before what is live was read: somebody asked for a reload before the change was noticed.
    fn unchanged(&self, seen: &Seen) -> Option<Answer> {
        let live = self.live();
        let applied = live.applied.as_ref()?;
        let unchanged = live.reloads.error.is_none() && live.files.as_ref() == Some(seen);
        unchanged.then(|| Answer::Reloaded {
            generation: Some(applied.generation),
            warnings: String::new(),
            kept: Vec::new(),
        })
    }

    /// The same policy again, with the host's facts of now.
    fn reapply(&self, network: &mut Network) -> Answer {
        let Some(policy) = self.live().policy.clone() else {
            return failed("the policy that is kept in the kernel is not known");
        };
        match network.apply(&policy) {
            Ok(applied) => {
                let generation = applied.generation;
                tracing::info!(generation, addresses = ?applied.host.addresses().collect::<Vec<_>>(), "policy is live with the host's new facts");
                self.update(|live| live.applied = Some(Arc::new(applied.clone())));
                self.remember(generation, None);
                Answer::Reloaded {
                    generation: Some(generation),
                    warnings: String::new(),
                    kept: Vec::new(),
                }
            }
            Err(error) => self.refuse_apply(&error),
        }
    }

    /// Makes the policy live. `seen`: files as they were before it was read.
    fn apply(&self, network: &mut Network, loaded: Loaded, seen: &Seen) -> Result<u32, ApplyError> {
        let generation = self.make_live(network, loaded, seen)?;
        self.remember(generation, self.live().policy.as_deref());
        Ok(generation)
    }

    fn make_live(&self, network: &mut Network, loaded: Loaded, seen: &Seen) -> Result<u32, ApplyError> {
        let policy = Arc::new(loaded.policy);
        // Before the policy is applied, which takes a moment: what changes meanwhile is a change.
        let files = Seen::now(policy_files(&self.settings.config, &policy)).or_earlier(seen);
        let applied = network.apply(&policy)?;
        self.bans.follow(network, Some(&policy));
        let generation = applied.generation;
        for attachment in &applied.interfaces {
            tracing::info!(
                interface = %attachment.interface, mode = attachment.mode.word(), program = attachment.program, generation,
                "attached"
            );
            if let Some(reason) = &attachment.fallback {
                tracing::warn!(interface = %attachment.interface, %reason, "generic mode: the driver refused native XDP");
            }
        }
        let set_files = Arc::new(loaded.set_files);
        let warnings: Arc<str> = loaded.warnings.render().into();
        if !loaded.warnings.is_empty() {
            tracing::warn!(diagnostics = %warnings, "policy accepted with warnings");
        }
        tracing::info!(
            generation,
            rules = applied.rules.len(),
            table_bytes = applied.table_bytes,
            "policy is live"
        );
        let counters = self
            .live()
            .counters
            .clone()
            .or_else(|| network.counters().ok().map(Arc::new));
        self.update(|live| {
            live.files = Some(files.clone());
            live.policy = Some(Arc::clone(&policy));
            live.set_files = Arc::clone(&set_files);
            live.warnings = Arc::clone(&warnings);
            live.remembered = false;
            live.applied = Some(Arc::new(applied.clone()));
            live.kept = Vec::new();
            live.counters.clone_from(&counters);
            live.reloads.accept(SystemTime::now());
        });
        Ok(generation)
    }

    /// At start, when the policy could not be made live.
    fn fall_back(&self, network: &mut Network, failure: FilterError) -> Result<(), FilterError> {
        let error = chain(&failure);
        let kept = network.attached()?;
        if !kept.is_empty() {
            tracing::error!(%error, "policy refused; what an earlier process attached goes on judging");
            let counters = network.counters().ok().map(Arc::new);
            self.bans.follow(network, None);
            self.update(|live| {
                live.kept.clone_from(&kept);
                live.counters.clone_from(&counters);
            });
        } else if let Some(Ok(last_good)) = self.state.last_good() {
            tracing::error!(%error, "policy refused; the last good policy is applied instead");
            let generation = self.make_live(network, last_good, &Seen::default())?;
            self.remember(generation, None);
            // The files to watch are the originals, not the copies.
            let config = self.config_alone();
            self.update(|live| live.files = Some(config.clone()));
        } else {
            return Err(failure);
        }
        self.refuse(error);
        Ok(())
    }

    fn refuse_apply(&self, error: &ApplyError) -> Answer {
        let text = chain(error);
        tracing::error!(error = %text, "policy not applied; the last good one stays");
        self.refuse(text.clone());
        match error {
            ApplyError::Compile(_) | ApplyError::NoInterfaces => Answer::Refused { diagnostics: text },
            _ => failed(&text),
        }
    }

    fn refuse(&self, error: String) {
        self.update(|live| live.reloads.refuse(error.clone(), SystemTime::now()));
    }

    /// Keeps what a restart needs. A full disk must not undo a policy that is live, so this only warns.
    fn remember(&self, generation: u32, policy: Option<&Policy>) {
        self.kept(self.state.remember_generation(generation));
        if let Some(policy) = policy {
            self.remember_policy(policy);
        }
    }

    pub(super) fn remember_policy(&self, policy: &Policy) {
        let kept = self.kept(self.state.remember_policy(&self.settings.config, policy));
        self.update(|live| live.remembered = kept);
    }

    /// Whether the step was taken; warns if not.
    pub(super) fn kept(&self, step: Result<(), StateError>) -> bool {
        if let Err(error) = &step {
            tracing::warn!(error = %chain(error), "the last good policy is not kept for the next boot");
        }
        step.is_ok()
    }

    pub(super) fn update(&self, change: impl Fn(&mut Live)) {
        self.live.rcu(|live| {
            let mut live = Live::clone(live);
            change(&mut live);
            live
        });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Network>> {
        // A panic while applying leaves the kernel on a whole generation: a link update is one step.
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn failed(error: &str) -> Answer {
    Answer::Failed {
        error: error.to_owned(),
    }
}
