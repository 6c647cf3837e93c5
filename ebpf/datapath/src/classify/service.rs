//! Protocol, ports, ICMP type and code, TCP flags → the service class.
//!
//! The *key* is the destination port or the ICMP type and code: both are 16 bits, and a packet has at most one of them.
//! Protocol and key give the head class; source port and flags, which few policies ask for, give the tail class.

use crate::Tables;
use crate::packet::{Packet, Upper};
use crate::wire::Setting;

/// The service class; `None` when a table is broken.
#[inline(always)]
pub(super) fn class(tables: &impl Tables, packet: &Packet) -> Option<u32> {
    if tables.setting(Setting::ServiceUsed) == 0 {
        return Some(0);
    }
    let (key, source_port, flags) = match packet.upper {
        Upper::Icmp { kind, code } => (Some(u16::from_be_bytes([kind, code])), None, None),
        Upper::None => (None, None, None),
        Upper::Ports { source, destination } => (Some(destination), Some(source), None),
        Upper::Tcp {
            source,
            destination,
            flags,
        } => (Some(destination), Some(source), Some(flags)),
    };
    let protocol = tables.word(at(tables, Setting::Protocols, u32::from(packet.protocol)))?;
    let key = paged(tables, Setting::KeyPages, key)?;
    let head = tables.word(cell(tables, Setting::Heads, protocol, Setting::HeadsWidth, key))?;
    if tables.setting(Setting::TailUsed) == 0 {
        return Some(head);
    }
    let source_port = paged(tables, Setting::SourcePortPages, source_port)?;
    let flags = match flags {
        Some(flags) => tables.word(at(tables, Setting::Flags, u32::from(flags)))?,
        None => 0,
    };
    let tail = tables.word(cell(
        tables,
        Setting::Tails,
        source_port,
        Setting::TailsWidth,
        flags,
    ))?;
    tables.word(cell(
        tables,
        Setting::ServiceTable,
        head,
        Setting::ServiceTableWidth,
        tail,
    ))
}

/// The class of a 16-bit value: a directory of 256 words, each the index of a page of 256 words. Class 0: no value.
#[inline(always)]
fn paged(tables: &impl Tables, directory: Setting, value: Option<u16>) -> Option<u32> {
    let Some(value) = value else { return Some(0) };
    let page = tables.word(at(tables, directory, u32::from(value >> 8)))?;
    tables.word(page.wrapping_add(u32::from(value & 0xff)))
}

#[inline(always)]
fn at(tables: &impl Tables, table: Setting, index: u32) -> u32 {
    tables.setting(table).wrapping_add(index)
}

#[inline(always)]
fn cell(tables: &impl Tables, table: Setting, row: u32, width: Setting, column: u32) -> u32 {
    tables
        .setting(table)
        .wrapping_add(row.wrapping_mul(tables.setting(width)))
        .wrapping_add(column)
}
