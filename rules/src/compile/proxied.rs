//! The addresses and ports for which SYNs over the budget are answered, as a hash table.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ravelin_datapath::packet::Address;
use ravelin_datapath::wire::{
    MAX_PROXIED, PROBES, PROXIED_DOUBLES, Plane, ProxiedEntry, Setting, Settings, proxied_cell, proxied_entry,
};

use super::CompileError;
use super::words::Words;
use crate::{Direction, HostFacts, Policy};

/// Writes the table; none, when no listener asks for it.
pub(super) fn write(
    policy: &Policy,
    host: &HostFacts,
    direction: Direction,
    words: &mut Words,
    settings: &mut Settings,
) -> Result<(), CompileError> {
    // What goes out is not answered, and opens no flow by a cookie.
    if direction == Direction::Outbound {
        return Ok(());
    }
    let entries: BTreeSet<ProxiedEntry> = policy
        .proxied(host)
        .map(|(address, port)| {
            let (plane, address) = match address {
                IpAddr::V4(address) => (Plane::V4, Address::v4(address.octets())),
                IpAddr::V6(address) => (Plane::V6, Address::v6(address.octets())),
            };
            proxied_entry(plane, address, port)
        })
        .collect();
    if entries.is_empty() {
        return Ok(());
    }
    let too_many = CompileError::TooManyProxied {
        addresses: entries.len(),
        limit: MAX_PROXIED,
    };
    if entries.len() > MAX_PROXIED {
        return Err(too_many);
    }
    let (bits, table) = (2..=MOST_BITS)
        .find_map(|bits| Some((bits, table(&entries, bits)?)))
        .ok_or(too_many)?;
    settings.set(Setting::SynProxyUsed, 1);
    settings.set(Setting::ProxiedBits, bits);
    settings.set(Setting::Proxied, words.doubles(table.into_iter().flatten())? / 2);
    Ok(())
}

/// The table of `2^bits` cells, and those behind them; `None`: some entry finds no free cell where it is looked for.
fn table(entries: &BTreeSet<ProxiedEntry>, bits: u32) -> Option<Vec<ProxiedEntry>> {
    let free = [0; PROXIED_DOUBLES as usize];
    let mut cells = vec![free; (1 << bits) + PROBES as usize];
    for entry in entries {
        let from = usize::try_from(proxied_cell(entry, bits)).ok()?;
        let mut probes = cells.iter_mut().skip(from).take(PROBES as usize);
        *probes.find(|cell| **cell == free)? = *entry;
    }
    Some(cells)
}

/// 64 cells for each of the most entries: 1.5 MiB, which no real policy comes near.
const MOST_BITS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_may_be_find_their_cells() {
        for step in [1, 3, 256, 65_537] {
            let entries: BTreeSet<ProxiedEntry> = (0..u32::try_from(MAX_PROXIED).unwrap_or(0))
                .map(|at| proxied_entry(Plane::V4, Address::v4((at * step).to_be_bytes()), 443))
                .collect();
            let bits = (2..=MOST_BITS).find(|bits| table(&entries, *bits).is_some());
            assert!(bits.is_some_and(|bits| bits <= 13), "{step}: {bits:?}");
        }
    }
}
