//! Rule name → counter slot, in a pinned map: a rule keeps its counter over reloads, restarts and reorderings.
//!
//! names of the new policy → **slots** → the slot words of the image. The slot of a name that left the policy is kept, so
//! that the counter goes on when the rule comes back; only when the table is full are such slots zeroed and given away.

use std::collections::{HashMap, HashSet};

use aya::maps::{HashMap as BpfHashMap, MapData, MapError, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use ravelin_datapath::wire::{Counter, RULE_NAME_BYTES, RULE_SLOTS};
use ravelin_rules::policy::RuleName;

/// The pinned directory.
pub type Directory<M> = BpfHashMap<M, [u8; RULE_NAME_BYTES], u32>;

/// The pinned counters.
pub type RuleCounters<M> = PerCpuArray<M, Counter>;

/// Gives every name a slot: its own if it had one, else a free one. Names that are new are entered in the directory.
///
/// # Errors
///
/// When there are more names than slots, or the kernel refuses an update.
pub fn assign(
    directory: &mut Directory<&mut MapData>,
    counters: &mut RuleCounters<&mut MapData>,
    names: &[RuleName],
) -> Result<Vec<u32>, SlotsError> {
    let known = read(directory)?;
    let plan = Plan::new(&known, names, RULE_SLOTS)?;
    for (name, slot) in &plan.reclaimed {
        // Removed from the directory before it is zeroed: after a crash in between, the slot is nobody's.
        directory.remove(&key(name)).map_err(SlotsError::Directory)?;
        zero(counters, *slot)?;
    }
    for (name, slot) in &plan.entered {
        directory
            .insert(key(name), slot, 0)
            .map_err(SlotsError::Directory)?;
    }
    Ok(plan.slots)
}

/// Every name in the directory and its slot.
///
/// # Errors
///
/// When the kernel does not answer.
pub fn read<M: std::borrow::Borrow<MapData>>(
    directory: &Directory<M>,
) -> Result<HashMap<RuleName, u32>, SlotsError> {
    let mut known = HashMap::new();
    for entry in directory.iter() {
        let (key, slot) = entry.map_err(SlotsError::Directory)?;
        // A key that is no name, or a slot out of range, is not something we wrote: it is not given to anybody.
        if let Some(name) = name(&key)
            && slot < RULE_SLOTS
        {
            known.insert(name, slot);
        }
    }
    Ok(known)
}

/// Why rules have no counters.
#[derive(Debug, thiserror::Error)]
pub enum SlotsError {
    /// The counter map.
    #[error("cannot zero a rule counter")]
    Counters(#[source] MapError),
    /// The processors could not be counted.
    #[error("cannot count the processors")]
    Cpus(#[source] std::io::Error),
    /// The directory map.
    #[error("cannot use the directory of rule counters")]
    Directory(#[source] MapError),
    /// More rules than counters.
    #[error(
        "the policy has {rules} rules, and there are counters for {RULE_SLOTS}: remove rules or merge them with sets"
    )]
    TooMany {
        /// How many rules the policy has.
        rules: usize,
    },
}

/// What has to change in the directory.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// The slot of each name, in the order of the names.
    slots: Vec<u32>,
    /// New names.
    entered: Vec<(RuleName, u32)>,
    /// Old names that lose their slot.
    reclaimed: Vec<(RuleName, u32)>,
}

impl Plan {
    fn new(known: &HashMap<RuleName, u32>, names: &[RuleName], capacity: u32) -> Result<Self, SlotsError> {
        let fresh: Vec<&RuleName> = names.iter().filter(|name| !known.contains_key(*name)).collect();
        let taken: HashSet<u32> = known.values().copied().collect();
        let mut free: Vec<u32> = (0..capacity)
            .filter(|slot| !taken.contains(slot))
            .take(fresh.len())
            .collect();
        let mut reclaimed = Vec::new();
        if free.len() < fresh.len() {
            let wanted: HashSet<&RuleName> = names.iter().collect();
            let mut unused: Vec<(&RuleName, u32)> = known
                .iter()
                .filter(|(name, _)| !wanted.contains(name))
                .map(|(name, slot)| (name, *slot))
                .collect();
            // Any order would do; a fixed one makes a run repeatable.
            unused.sort_unstable();
            for (name, slot) in unused.into_iter().take(fresh.len() - free.len()) {
                reclaimed.push((name.clone(), slot));
                free.push(slot);
            }
        }
        if free.len() < fresh.len() {
            return Err(SlotsError::TooMany { rules: names.len() });
        }
        let entered: Vec<(RuleName, u32)> = fresh.into_iter().cloned().zip(free).collect();
        let new: HashMap<&RuleName, u32> = entered.iter().map(|(name, slot)| (name, *slot)).collect();
        let slots = names
            .iter()
            .filter_map(|name| known.get(name).or_else(|| new.get(name)).copied())
            .collect();
        Ok(Self {
            slots,
            entered,
            reclaimed,
        })
    }
}

fn zero(counters: &mut RuleCounters<&mut MapData>, slot: u32) -> Result<(), SlotsError> {
    let cpus = nr_cpus().map_err(|(_, error)| SlotsError::Cpus(error))?;
    let zeros = PerCpuValues::try_from(vec![[0; 2]; cpus]).map_err(SlotsError::Cpus)?;
    counters.set(slot, zeros, 0).map_err(SlotsError::Counters)
}

fn key(name: &RuleName) -> [u8; RULE_NAME_BYTES] {
    let mut key = [0; RULE_NAME_BYTES];
    for (to, from) in key.iter_mut().zip(name.as_str().bytes()) {
        *to = from;
    }
    key
}

fn name(key: &[u8; RULE_NAME_BYTES]) -> Option<RuleName> {
    let length = key.iter().position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(key.get(..length)?).ok()?;
    RuleName::parse(text)
}

const _: () = assert!(RuleName::MAX_LENGTH < RULE_NAME_BYTES);

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use ravelin_rules::policy::RuleName;

    use super::{Plan, key, name};

    fn names(texts: &[&str]) -> Vec<RuleName> {
        texts.iter().map(|text| RuleName::parse(text).unwrap()).collect()
    }

    fn known(texts: &[&str]) -> HashMap<RuleName, u32> {
        names(texts).into_iter().zip(0..).collect()
    }

    #[test]
    fn a_rule_that_stays_keeps_its_slot_wherever_it_moves() {
        let plan = Plan::new(&known(&["a", "b", "c"]), &names(&["c", "a"]), 8).unwrap();
        assert_eq!(plan.slots, [2, 0]);
        assert!(plan.entered.is_empty() && plan.reclaimed.is_empty());
    }

    #[test]
    fn a_rule_that_left_keeps_its_slot_while_there_is_room() {
        let plan = Plan::new(&known(&["a", "b"]), &names(&["c"]), 3).unwrap();
        assert_eq!(plan.slots, [2]);
        assert!(plan.reclaimed.is_empty());
    }

    #[test]
    fn only_slots_of_rules_that_left_are_reclaimed_when_the_table_is_full() {
        let plan = Plan::new(&known(&["a", "b", "c"]), &names(&["b", "x", "y"]), 3).unwrap();
        let reclaimed: HashSet<u32> = plan.reclaimed.iter().map(|(_, slot)| *slot).collect();
        assert_eq!(reclaimed, HashSet::from([0, 2]));
        assert_eq!(plan.slots[0], 1);
        assert_eq!(plan.slots.iter().collect::<HashSet<_>>().len(), 3);
    }

    #[test]
    fn more_rules_than_slots_are_refused() {
        assert!(Plan::new(&HashMap::new(), &names(&["a", "b", "c"]), 2).is_err());
    }

    #[test]
    fn a_name_of_full_length_survives_the_kernel() {
        let longest = RuleName::parse(&"x".repeat(RuleName::MAX_LENGTH)).unwrap();
        assert_eq!(name(&key(&longest)), Some(longest));
    }
}
