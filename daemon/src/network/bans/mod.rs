//! Bans: prefixes whose packets are dropped until a moment, kept in maps that outlive this process.
//!
//! control socket → **bans** → pinned maps → every packet. The pinned map is the truth; what is here is counted from it. Writes are
//! in an order in which a process that is killed leaves nothing half done: a ban is in the map, then marked in the filter, then
//! its length is looked for; the next process marks what the last one did not come to. Must not know who asks, nor how.

mod batch;
mod filter;
pub mod key;
pub mod never;
mod reasons;
mod refusal;

use std::net::IpAddr;
use std::time::Duration;

use aya::maps::{HashMap, MapData, MapError};
use ipnet::IpNet;
use nix::libc;
use ravelin_datapath::wire::{
    BAN_REASON_BYTES, BAN_REASONS, BANS, BanKey, BanNote, BanValue, Lengths, Prefix,
};
use ravelin_rules::Policy;

use self::filter::{Bits, Filter};
use self::never::Never;
use self::reasons::Reasons;
pub use self::refusal::{BansError, Refusal};
use super::addresses;
use super::pins::PinDir;
use super::shared;

/// What somebody wants to be banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Whom.
    pub prefix: IpNet,
    /// For how long from now.
    pub lasts: Duration,
    /// Why; may be empty.
    pub reason: String,
}

/// A live ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Whom.
    pub prefix: IpNet,
    /// When it ends and when it was made, in nanoseconds since 1970.
    pub end: u64,
    /// See [`Self::end`].
    pub made: u64,
    /// What is left of it.
    pub left: Duration,
    /// The user that asked for it.
    pub user: u32,
    /// Why; may be empty.
    pub reason: String,
}

/// Which ban of the same prefix a new one takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replace {
    Any,
    /// One that ends earlier, while there are less than `most` in all.
    Shorter {
        most: u32,
    },
}

/// Some of the live bans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In no order.
    pub bans: Vec<Ban>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<u32>,
}

/// Every ban of this host, and the right to change them.
#[derive(Debug)]
pub struct Bans {
    bans: HashMap<MapData, BanKey, BanValue>,
    /// The same map.
    raw: MapData,
    filter: Filter,
    reasons: Reasons,
    never: Never,
    /// Whether the live policy carries them out.
    on: bool,
    /// How many bans there are of each length, by family.
    counts: [[u32; 129]; 2],
    total: u32,
    lengths: [u64; Lengths::COUNT],
    /// A walk through all bans that is not at its end.
    pass: Option<Pass>,
    /// Bans were taken away since the last walk began, and their bits may be left.
    dirty: bool,
    /// When all bans were last looked through for room, in nanoseconds since boot.
    cleared: u64,
    refused: [u64; Refusal::KINDS.len()],
}

/// A walk through all bans, in steps.
#[derive(Debug)]
struct Pass {
    from: Option<u32>,
    /// The bits of those met, and of those that came meanwhile.
    bits: Bits,
    /// Their reasons.
    reasons: Vec<bool>,
}

impl Bans {
    /// Takes over the pinned bans.
    ///
    /// # Errors
    ///
    /// When they are not there, or cannot be read.
    pub fn open(pins: &PinDir) -> Result<Self, BansError> {
        let open = |name: &'static str| {
            MapData::from_pin(pins.map(name)).map_err(|source| BansError::Open { name, source })
        };
        let typed = |name: &'static str| {
            aya::maps::Map::from_map_data(open(name)?).map_err(|source| BansError::Open { name, source })
        };
        let bans = HashMap::try_from(typed(shared::BANS)?).map_err(BansError::Map)?;
        let reasons = HashMap::try_from(typed(shared::BAN_REASONS)?).map_err(BansError::Map)?;
        let mut all = Self {
            bans,
            raw: open(shared::BANS)?,
            filter: Filter::open(&open(shared::BAN_FILTER)?)?,
            reasons: Reasons::open(reasons).map_err(BansError::Map)?,
            never: Never::default(),
            on: true,
            counts: [[0; 129]; 2],
            total: 0,
            lengths: [0; Lengths::COUNT],
            pass: None,
            dirty: false,
            cleared: 0,
            refused: [0; Refusal::KINDS.len()],
        };
        all.take_stock()?;
        Ok(all)
    }

    /// The policy that is live now. Bans of what it never bans stay, and do nothing: the kernel knows too.
    pub fn follow(&mut self, policy: &Policy) {
        self.never = Never::of(policy);
        self.on = policy.firewall.bans;
    }

    /// How many there are, with those that have just ended.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.total
    }

    /// Wishes that were refused since the start, by the word of the reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::KINDS.into_iter().zip(self.refused)
    }

    /// Counts a wish that was refused before it came here.
    pub fn count_refused(&mut self, refusal: &Refusal) {
        if let Some(count) = self.refused.get_mut(refusal.kind()) {
            *count += 1;
        }
    }

    /// Bans, or replaces the ban of the same prefix.
    ///
    /// # Errors
    ///
    /// Why not; everything is as it was, and the refusal is counted.
    pub fn ban(&mut self, wish: &Wish, user: u32) -> Result<(), Refusal> {
        self.counted(wish, user, Replace::Any)
    }

    /// The same for who may not do everything: a ban of the prefix that ends later stays, and there must be less than `most` in all.
    ///
    /// # Errors
    ///
    /// Why not; everything is as it was, and the refusal is counted.
    pub fn ban_within(&mut self, wish: &Wish, user: u32, most: u32) -> Result<(), Refusal> {
        self.counted(wish, user, Replace::Shorter { most })
    }

    fn counted(&mut self, wish: &Wish, user: u32, replace: Replace) -> Result<(), Refusal> {
        let done = self.try_ban(wish, user, replace);
        if let Err(refusal) = &done {
            self.count_refused(refusal);
        }
        done
    }

    fn try_ban(&mut self, wish: &Wish, user: u32, replace: Replace) -> Result<(), Refusal> {
        if !self.on {
            return Err(Refusal::Off);
        }
        let prefix = wish.prefix;
        let least = match prefix {
            IpNet::V4(_) => WIDEST_V4,
            IpNet::V6(_) => WIDEST_V6,
        };
        if prefix.prefix_len() < least {
            return Err(Refusal::TooWide { prefix, least });
        }
        if let Some(entry) = self.never.holding(&prefix) {
            return Err(Refusal::NeverBan {
                prefix,
                entry: *entry,
            });
        }
        if wish.reason.len() > BAN_REASON_BYTES || wish.reason.contains(char::is_control) {
            return Err(Refusal::Reason);
        }
        let now = since_boot()?;
        let end = now.saturating_add(u64::try_from(wish.lasts.as_nanos()).unwrap_or(u64::MAX));
        let [key] = key::keys(prefix)[..] else {
            return Err(Refusal::TooWide { prefix, least });
        };
        if let Replace::Shorter { most } = replace {
            if self.end_of(key)?.is_some_and(|there| there >= end) {
                return Ok(());
            }
            if self.total >= most {
                return Err(Refusal::Share(most));
            }
        }
        // Before the reason has its number: the walk takes away those that no ban has.
        self.make_room(now)?;
        let reason = self.reasons.number(&wish.reason).map_err(Refusal::Kernel)?;
        let value = [end, now, BanNote { user, reason }.pack()];
        if self.enter(key, value)? {
            self.add(key, 1);
        }
        self.mark(key, reason);
        Ok(())
    }

    fn end_of(&self, key: BanKey) -> Result<Option<u64>, Refusal> {
        match self.bans.get(&key, 0) {
            Ok([end, ..]) => Ok(Some(end)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(Refusal::Kernel(error)),
        }
    }

    /// Takes a ban away. Says whether it was there.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub fn unban(&mut self, prefix: IpNet) -> Result<bool, BansError> {
        let mut was_there = false;
        for key in key::keys(prefix) {
            was_there |= self.remove(key)?;
        }
        Ok(was_there)
    }

    /// Some of the live bans: the first, or those from where an earlier page ended. Whatever comes and goes between two pages, a ban that
    /// is there all the time is on exactly one.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub fn page(&self, from: Option<u32>) -> Result<Page, BansError> {
        let step = batch::read(&self.raw, from, STEP).map_err(BansError::Read)?;
        let clock = addresses::clock().map_err(BansError::Clock)?;
        let bans = step.entries.into_iter();
        let bans = bans.filter_map(|(key, value)| self.live(key, value, clock.boot, clock.unix));
        Ok(Page {
            bans: bans.collect(),
            next: step.next,
        })
    }

    /// The live bans that cover the address, longest first, and what says that it is never banned.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub fn covering(&self, address: IpAddr) -> Result<(Vec<Ban>, Option<IpNet>), BansError> {
        let clock = addresses::clock().map_err(BansError::Clock)?;
        let counts = self
            .counts
            .get(usize::from(address.is_ipv6()))
            .into_iter()
            .flatten();
        let mut found = Vec::new();
        for (length, count) in (0..=128_u8).zip(counts).collect::<Vec<_>>().into_iter().rev() {
            if *count == 0 {
                continue;
            }
            let key = key::key_of(address, length);
            match self.bans.get(&key, 0) {
                Ok(value) => found.extend(self.live(key, value, clock.boot, clock.unix)),
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(BansError::Map(error)),
            }
        }
        Ok((found, self.never.covering(address).copied()))
    }

    /// One step of a walk that takes away what has ended, and the bits and reasons that nothing needs any more. Says whether there is more
    /// to do at once. A step, not a walk: bans of others wait for it.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer. The walk begins anew then.
    pub fn sweep(&mut self) -> Result<bool, BansError> {
        if self.pass.is_none() && self.total == 0 && !self.dirty {
            return Ok(false);
        }
        let mut pass = self.pass.take().unwrap_or_else(|| {
            self.dirty = false;
            Pass::new(self.total)
        });
        let step = batch::read(&self.raw, pass.from, STEP).map_err(BansError::Read)?;
        let now = addresses::clock().map_err(BansError::Clock)?.boot;
        for (key, value) in step.entries {
            if value[0] <= now {
                self.remove(key)?;
            } else {
                pass.meet(key, BanNote::unpack(value[2]).reason);
            }
        }
        pass.from = step.next;
        if pass.from.is_some() {
            self.pass = Some(pass);
            return Ok(true);
        }
        self.filter.replace(&pass.bits);
        let used = |number: u32| pass.reasons.get(number as usize).copied().unwrap_or(false);
        self.reasons.keep(used).map_err(BansError::Map)?;
        Ok(false)
    }

    /// Counts and marks what an earlier process has left.
    fn take_stock(&mut self) -> Result<(), BansError> {
        let mut from = None;
        loop {
            let step = batch::read(&self.raw, from, STEP).map_err(BansError::Read)?;
            for (key, _) in step.entries {
                if Prefix::of_tag(key[2]).is_none() {
                    // Nothing that we wrote; no packet asks for it.
                    let _foreign = self.bans.remove(&key);
                    continue;
                }
                self.add(key, 1);
            }
            from = step.next;
            if from.is_none() {
                break;
            }
        }
        // Again: how many there are tells how many bits they need.
        let mut pass = Pass::new(self.total);
        loop {
            let step = batch::read(&self.raw, pass.from, STEP).map_err(BansError::Read)?;
            for (key, value) in step.entries {
                pass.meet(key, BanNote::unpack(value[2]).reason);
            }
            pass.from = step.next;
            if pass.from.is_none() {
                break;
            }
        }
        self.filter.replace(&pass.bits);
        self.filter.set_lengths(self.lengths);
        Ok(())
    }

    /// Takes away what has ended, if the table is full: it takes room until it is swept.
    fn make_room(&mut self, now: u64) -> Result<(), BansError> {
        if self.total < BANS || now.saturating_sub(self.cleared) <= CLEAR_EVERY {
            return Ok(());
        }
        self.cleared = now;
        while self.sweep()? {}
        Ok(())
    }

    /// Writes a ban into the map. Says whether its prefix is new there.
    fn enter(&mut self, key: BanKey, value: BanValue) -> Result<bool, Refusal> {
        let mut patience = 0..NO_MEMORY_TRIES;
        loop {
            let error = match self.bans.insert(key, value, NOT_THERE) {
                Ok(()) => return Ok(true),
                Err(error) => error,
            };
            match errno(&error) {
                Some(libc::EEXIST) => {
                    self.bans.insert(key, value, 0).map_err(Refusal::Kernel)?;
                    return Ok(false);
                }
                Some(libc::E2BIG) => return Err(Refusal::Full),
                // The kernel fills its stock of elements in the background.
                Some(libc::ENOMEM) if patience.next().is_some() => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                _ => return Err(Refusal::Kernel(error)),
            }
        }
    }

    fn mark(&mut self, key: BanKey, reason: u32) {
        let Some(prefix) = Prefix::of_tag(key[2]) else {
            return;
        };
        self.filter.mark(prefix, key);
        self.filter.set_lengths(self.lengths);
        if let Some(pass) = &mut self.pass {
            pass.meet(key, reason);
        }
    }

    fn remove(&mut self, key: BanKey) -> Result<bool, BansError> {
        match self.bans.remove(&key) {
            Ok(()) => {
                self.add(key, -1);
                self.filter.set_lengths(self.lengths);
                self.dirty = true;
                Ok(true)
            }
            Err(error) if errno(&error) == Some(libc::ENOENT) || matches!(error, MapError::KeyNotFound) => {
                Ok(false)
            }
            Err(error) => Err(BansError::Map(error)),
        }
    }

    /// One more or one less of that prefix's length.
    fn add(&mut self, key: BanKey, one: i32) {
        let Some(prefix) = Prefix::of_tag(key[2]) else {
            return;
        };
        let counts = self.counts.get_mut(prefix.plane as usize);
        let Some(count) = counts.and_then(|counts| counts.get_mut(prefix.length as usize)) else {
            return;
        };
        *count = count.saturating_add_signed(one);
        self.total = self.total.saturating_add_signed(one);
        let (word, bit) = prefix.length_mark();
        if let Some(word) = self.lengths.get_mut(word as usize) {
            *word = if *count == 0 { *word & !bit } else { *word | bit };
        }
    }

    fn live(&self, key: BanKey, [end, made, note]: BanValue, boot: u64, unix: u64) -> Option<Ban> {
        let left = Duration::from_nanos(end.checked_sub(boot).filter(|left| *left > 0)?);
        let note = BanNote::unpack(note);
        let since_1970 = |moment: u64| unix.saturating_sub(boot).saturating_add(moment);
        Some(Ban {
            prefix: key::prefix(key)?,
            end: since_1970(end),
            made: since_1970(made),
            left,
            user: note.user,
            reason: self.reasons.text(note.reason).to_owned(),
        })
    }
}

impl Pass {
    fn new(bans: u32) -> Self {
        Self {
            from: None,
            bits: Bits::new(bans),
            reasons: vec![false; BAN_REASONS as usize],
        }
    }

    fn meet(&mut self, key: BanKey, reason: u32) {
        if let Some(prefix) = Prefix::of_tag(key[2]) {
            self.bits.mark(prefix, key);
        }
        if let Some(used) = self.reasons.get_mut(reason as usize) {
            *used = true;
        }
    }
}

fn since_boot() -> Result<u64, BansError> {
    Ok(addresses::clock().map_err(BansError::Clock)?.boot)
}

fn errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

/// Entries of a step: well below the ten milliseconds in which a ban takes effect, and more than any bucket has.
const STEP: u32 = 2048;

/// Nanoseconds between two looks for room in a full table. A bound: without it, each of a flood of bans would walk through a million.
const CLEAR_EVERY: u64 = 1_000_000_000;

/// `BPF_NOEXIST`.
const NOT_THERE: u64 = 1;

/// How often an element is asked for before the kernel is out of memory.
const NO_MEMORY_TRIES: u32 = 20;

/// As `min_prefix` has it in examples: what no feed should list.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 19;
