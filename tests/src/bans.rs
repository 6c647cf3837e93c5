//! Bans for tests: random ones, and the three who judge by them: the oracle, the datapath in user space, the program with its maps.
//!
//! The user-space holder stands in for the kernel's maps and nothing else: which bits and lengths a ban sets is the daemon's and the
//! datapath's own code.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_daemon::network::bans::{key, never};
use ravelin_datapath::ban::BanTables;
use ravelin_datapath::wire::{
    BanKey, FILTER_WORDS, Lengths, NARROW_CLASS, Prefix, ban_marks, filter_word, narrow_mark,
};
use ravelin_rules::Policy;
use ravelin_rules::reference::Ban;

use crate::random::{self, Random};

/// Bans in memory, with a clock that is set by hand.
#[derive(Debug)]
pub struct MemoryBans {
    filter: Vec<u64>,
    ends: HashMap<BanKey, u64>,
    never: HashSet<BanKey>,
    never_lengths: [u64; Lengths::COUNT],
    now: u64,
}

impl MemoryBans {
    /// A world with what `policy` never bans, and no ban; `class` is the size of its Bloom filter.
    #[must_use]
    pub fn new(policy: &Policy, class: u32) -> Self {
        let mut filter = vec![0; FILTER_WORDS as usize];
        filter[NARROW_CLASS as usize] = u64::from(class);
        let mut world = Self {
            filter,
            ends: HashMap::new(),
            never_lengths: [0; Lengths::COUNT],
            never: HashSet::new(),
            now: 0,
        };
        world.follow(policy);
        world
    }

    /// From now on this policy says what is never banned.
    pub fn follow(&mut self, policy: &Policy) {
        let never = never::Never::of(policy).keys();
        self.never_lengths = never::lengths(&never);
        self.never = never.into_iter().collect();
    }

    /// Bans.
    pub fn ban(&mut self, ban: Ban) {
        for key in key::keys(ban.prefix) {
            let prefix = Prefix::of_tag(key[2]).expect("a key of ours");
            let class = u32::try_from(self.filter[NARROW_CLASS as usize]).expect("a class");
            self.ends.insert(key, ban.end);
            for bit in ban_marks(prefix, key) {
                self.filter[filter_word(bit) as usize] |= 1 << (bit & 63);
            }
            if let Some((word, mask)) = narrow_mark(prefix, key, class) {
                self.filter[word as usize] |= mask;
            }
            let (word, bit) = prefix.length_mark();
            self.filter[word as usize] |= bit;
        }
    }

    /// These are the bans, from now on; bits of those before stay.
    pub fn replace(&mut self, bans: &[Ban]) {
        self.ends.clear();
        bans.iter().for_each(|ban| self.ban(*ban));
    }

    /// Takes a ban away as the daemon does: its bits stay.
    pub fn unban(&mut self, prefix: IpNet) {
        for key in key::keys(prefix) {
            self.ends.remove(&key);
        }
    }

    /// The time is that, from now on.
    pub fn set_clock(&mut self, now: u64) {
        self.now = now;
    }
}

impl BanTables for MemoryBans {
    fn filter(&self, index: u32) -> u64 {
        self.filter.get(index as usize).copied().unwrap_or(u64::MAX)
    }

    fn end(&self, key: BanKey) -> Option<u64> {
        self.ends.get(&key).copied()
    }

    fn never_lengths(&self, lengths: Lengths) -> u64 {
        self.never_lengths[lengths as usize]
    }

    fn never(&self, key: BanKey) -> bool {
        self.never.contains(&key)
    }

    fn now(&self) -> u64 {
        self.now
    }
}

/// Some random bans, near the prefixes that random policies and packets use and near `sources`; no two of one prefix. Some are over at
/// `now`, by as little as can be.
#[must_use]
pub fn bans(random: &mut Random, sources: &[IpNet], now: u64) -> Vec<Ban> {
    let mut bans: Vec<Ban> = Vec::new();
    for _ in 0..random.below(12) {
        let near = if !sources.is_empty() && random.chance(70) {
            sources[random.index(sources.len())]
        } else {
            random::prefix(random)
        };
        let narrow = near.max_prefix_len();
        let length = match random.below(4) {
            0 => narrow,
            1 => narrow.min(24 + random.byte() % 40),
            _ => random.byte() % (narrow + 1),
        };
        let prefix = IpNet::new(near.addr(), length).expect("a length").trunc();
        if bans.iter().any(|ban| ban.prefix == prefix) {
            continue;
        }
        let end = match random.below(5) {
            0 => now,
            1 => now + 1,
            2 => now.saturating_sub(1_000_000_000),
            _ => now + 3_600_000_000_000,
        };
        bans.push(Ban { prefix, end });
    }
    bans
}

/// The source of an IP packet behind any VLAN tags, if the frame is long enough to have one.
#[must_use]
pub fn source(frame: &[u8]) -> Option<IpNet> {
    let mut rest = frame.get(12..)?;
    while matches!(rest.first_chunk()?, [0x81, 0] | [0x88, 0xa8]) {
        rest = rest.get(4..)?;
    }
    let address: IpAddr = match rest.first_chunk()? {
        [8, 0] => IpAddr::from(*rest.get(14..)?.first_chunk::<4>()?),
        [0x86, 0xdd] => IpAddr::from(*rest.get(10..)?.first_chunk::<16>()?),
        _ => return None,
    };
    Some(address.into())
}
