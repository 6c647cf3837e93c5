//! What the tables say of limits: the numbers of each, and whether anything takes from a bucket at all.

use ravelin_datapath::wire::{Setting, Settings};

use super::CompileError;
use super::words::Words;
use crate::policy::Limit;
use crate::{Direction, Policy};

/// Writes the table of limits. Gives each rule, by its index, the number of its limit; 0: it has none.
pub(super) fn write(
    policy: &Policy,
    direction: Direction,
    words: &mut Words,
    settings: &mut Settings,
) -> Result<Vec<u32>, CompileError> {
    let mut records = Vec::new();
    let numbers = policy
        .rules
        .iter()
        .map(|rule| {
            // Of the other direction's rules no packet of these tables takes.
            let here = rule.limit.as_ref().filter(|_| rule.direction == direction);
            match here.and_then(Limit::numbers) {
                Some(limit) => {
                    records.extend(limit.pack());
                    u32::try_from(records.len() / limit.pack().len()).unwrap_or(0)
                }
                None => 0,
            }
        })
        .collect();
    if !records.is_empty() {
        settings.set(Setting::LimitsUsed, 1);
        settings.set(Setting::Limits, words.doubles(records.into_iter())? / 2);
    }
    let budget = policy.flood.syn_budget.as_ref().and_then(Limit::numbers);
    if let Some(limit) = budget.filter(|_| direction == Direction::Inbound) {
        settings.set(Setting::SynBudgetUsed, 1);
        settings.set(Setting::SynBudget, words.doubles(limit.pack().into_iter())? / 2);
    }
    // Of both directions: what goes out completes the connections of those who are to be known.
    settings.set(Setting::SourcesUsed, policy.remembers_sources().into());
    Ok(numbers)
}
