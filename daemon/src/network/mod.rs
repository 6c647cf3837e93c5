//! Layer 3 and 4, in the kernel: one generation of programs and tables after another, swapped in one step.
//!
//! policy → `TableImage` → **`network`** → the kernel judges packets by it. Everything that must outlive the process is
//! pinned: links (so packets are judged without us) and counters (so they never go back). Must not know sockets, the
//! control protocol, or why a policy changed.

pub mod addresses;
pub mod adopt;
pub mod ask;
pub mod attach;
pub mod bans;
pub mod clsact;
pub mod cookies;
pub mod counters;
pub mod detach;
mod egress;
pub mod flows;
pub mod hash_table;
mod ingress;
pub mod interface;
pub mod limits;
pub mod load;
pub mod metrics;
mod netlink;
pub mod pins;
pub mod shared;
pub mod slots;
pub mod tables;
mod undo;

use std::path::Path;

use ravelin_datapath::wire::Setting;
use ravelin_rules::policy::{Action, Direction, FlowTimeouts, HostFacts, Mode, RuleName};
use ravelin_rules::{Change, CompileError, Policy, TableImage};

use self::attach::{AttachError, Attachment, Modes};
use self::bans::never::Never;
use self::bans::{Bans, BansError};
use self::cookies::CookiesError;
use self::counters::{Counters, CountersError};
use self::detach::{DetachError, Detached};
use self::flows::FlowTable;
use self::hash_table::HashTableError;
use self::limits::LimitTable;
use self::load::{Generation, Images, LoadError};
use self::pins::{PinDir, PinsError};
use self::shared::SharedError;
use self::tables::TablesError;

/// The kernel side of one filter: owns the pin folder, and with it the right to change what is attached.
#[derive(Debug)]
pub struct Network {
    pins: PinDir,
    /// Kept alive to swap back to when a swap fails half way.
    live: Option<Generation>,
    number: u32,
}

impl Network {
    /// Takes the pin folder, and creates the shared maps in it unless an earlier process did. `number` is the last
    /// generation's, 0 on a host that has had none.
    ///
    /// # Errors
    ///
    /// When the folder is not on a bpf file system, another process holds it, or its maps are not ours.
    pub fn open(pin_dir: &Path, number: u32) -> Result<Self, OpenError> {
        let pins = PinDir::open(pin_dir)?;
        shared::verify(&pins)?;
        Ok(Self {
            pins,
            live: None,
            number,
        })
    }

    /// What is pinned and attached now, by this process or an earlier one.
    ///
    /// # Errors
    ///
    /// When the pin folder or the interfaces cannot be read.
    pub fn attached(&self) -> Result<Vec<Attachment>, AttachError> {
        attach::attached(&self.pins)
    }

    /// Makes `policy` the one that packets are judged by, on exactly the interfaces it names. All or nothing: on an error
    /// every interface is judged by what judged it before.
    ///
    /// # Errors
    ///
    /// The step that failed.
    pub fn apply(&mut self, policy: &Policy) -> Result<Applied, ApplyError> {
        if policy.firewall.interfaces.is_empty() {
            return Err(ApplyError::NoInterfaces);
        }
        let names = || {
            policy
                .firewall
                .interfaces
                .iter()
                .map(|interface| interface.name.as_str())
        };
        let host = addresses::facts(names()).map_err(ApplyError::Addresses)?;
        let inbound = TableImage::compile(policy, &host, Direction::Inbound)?;
        let outbound = TableImage::compile_outbound(policy, &host)?;
        let images = Images {
            inbound: &inbound,
            outbound: outbound.as_ref(),
        };
        if inbound.settings().of(Setting::SynProxyUsed) != 0 {
            cookies::always()?;
        }
        let number = self.number.wrapping_add(1);
        let knew_flows = self.pins.map(shared::FLOWS).exists();
        let mut generation = Generation::load(&self.pins, images, &Never::of(policy), number)?;
        if policy.keeps_flows() && !knew_flows {
            self.admit_connections(number);
        }
        let names: Vec<String> = names().map(ToOwned::to_owned).collect();
        let modes = Modes {
            inbound: policy.firewall.xdp_mode,
            outbound: policy.firewall.outbound_hook,
        };
        let interfaces = attach::swap(&self.pins, &mut generation, self.live.as_mut(), &names, modes)?;
        self.pins.remove_other_maps();
        // Their memory goes with the last generation that used them.
        let unused: Vec<&str> = generation.uses().unused().collect();
        self.pins.forget(&unused);
        self.keep_limits(&generation);
        let applied = Applied {
            generation: number,
            interfaces,
            rules: named_slots(policy, generation.slots()),
            table_bytes: generation.table_bytes(),
            mode: policy.firewall.mode,
            host,
        };
        self.live = Some(generation);
        self.number = number;
        Ok(applied)
    }

    /// Forgets limits that are no more.
    fn keep_limits(&self, generation: &Generation) {
        match LimitTable::open(&self.pins) {
            Ok(Some(mut table)) => table.keep_only(generation.limits()),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "buckets of limits that are no more stay"),
        }
    }

    /// Takes buckets out that are full again; says how many.
    ///
    /// # Errors
    ///
    /// When the tables cannot be opened.
    pub fn sweep_limits(&self) -> Result<usize, HashTableError> {
        let table = LimitTable::open(&self.pins)?;
        Ok(table.map_or(0, |table| table.sweep(flows::table::now())))
    }

    /// From here on flows are what lets packets through: those that the host has already are flows too.
    fn admit_connections(&self, number: u32) {
        match FlowTable::open(&self.pins) {
            Ok(Some(table)) => {
                let connections = flows::grace::admit(&table, flows::first_epoch(number));
                tracing::info!(connections, "the host's connections are let through");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the host's connections are not let through"),
        }
    }

    /// Takes flows out that have been idle for too long; says how many.
    ///
    /// # Errors
    ///
    /// When the tables cannot be opened.
    pub fn sweep_flows(&self, timeouts: &FlowTimeouts) -> Result<usize, HashTableError> {
        let table = FlowTable::open(&self.pins)?;
        Ok(table.map_or(0, |table| table.sweep(timeouts, flows::table::now())))
    }

    /// Makes `policy`, which packets are judged by now, one with `change`, in the tables of the live generation. Says whether it could;
    /// if not, nothing has changed, and the policy with the change is to be applied.
    ///
    /// # Errors
    ///
    /// A bug; nothing has changed then either.
    pub fn amend(&mut self, policy: &Policy, change: &Change) -> Result<bool, TablesError> {
        let live = self.live.as_mut();
        live.map_or(Ok(false), |live| live.amend(policy, change))
    }

    /// Takes everything out of the kernel, and gives up the pin folder.
    ///
    /// # Errors
    ///
    /// What cannot be removed.
    pub fn detach(self) -> Result<Detached, DetachError> {
        detach::remove(self.pins)
    }

    /// The bans, which no generation changes.
    ///
    /// # Errors
    ///
    /// When they are not there yet: before the first generation.
    pub fn bans(&self) -> Result<Bans, BansError> {
        Bans::open(&self.pins)
    }

    /// A reader of every counter. It works as long as it lives, also while a generation is being swapped.
    ///
    /// # Errors
    ///
    /// When the counters are not there yet: before the first generation.
    pub fn counters(&self) -> Result<Counters, CountersError> {
        Counters::open(&self.pins)
    }
}

/// What is true since a generation went live.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The generation's number.
    pub generation: u32,
    /// Where it is attached.
    pub interfaces: Vec<Attachment>,
    /// Its rules, in the order of judgement.
    pub rules: Vec<RuleSlot>,
    /// The size of its tables in the kernel.
    pub table_bytes: u64,
    /// Whether verdicts are carried out.
    pub mode: Mode,
    /// What the host was like when it was built.
    pub host: HostFacts,
}

impl Applied {
    /// Whether verdicts are carried out, in the policy's word.
    #[must_use]
    pub const fn mode_word(&self) -> &'static str {
        match self.mode {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
        }
    }
}

/// A rule and where it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSlot {
    /// The rule.
    pub name: RuleName,
    /// Its action; `None` for a rule of an earlier process, of which only the name is known.
    pub action: Option<Action>,
    /// Its element in the rule counter map.
    pub slot: u32,
}

fn named_slots(policy: &Policy, slots: &[u32]) -> Vec<RuleSlot> {
    policy
        .rules
        .iter()
        .zip(slots)
        .map(|(rule, slot)| RuleSlot {
            name: rule.name.clone(),
            action: Some(rule.action),
            slot: *slot,
        })
        .collect()
}

/// Why the pin folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The maps in it.
    #[error(transparent)]
    Shared(#[from] SharedError),
}

/// Why a policy is not live. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The host's addresses could not be read.
    #[error("cannot read the addresses of the interfaces")]
    Addresses(#[source] nix::Error),
    /// An interface could not be attached or updated.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The host cannot be made to answer with cookies.
    #[error(transparent)]
    Cookies(#[from] CookiesError),
    /// The policy does not fit its tables.
    #[error("the policy does not compile")]
    Compile(#[from] CompileError),
    /// The kernel did not take the program or its tables.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The policy filters nothing.
    #[error("the policy names no interface to filter: set `interfaces` in `[firewall]`")]
    NoInterfaces,
}
