//! Protocol, ports, ICMP type and code, TCP flags → the service class.
//!
//! The *key* is the destination port or the ICMP type and code: both are 16 bits, and a packet has at most one of them.
//! Protocol and key give the head class; source port and flags, which few policies ask for, give the tail class.

use crate::Tables;
use crate::packet::{Packet, UpperKind};
use crate::wire::Setting;

/// The service class; `None` when a table is broken.
#[inline(always)]
pub(super) fn class(tables: &impl Tables, packet: &Packet) -> Option<u32> {
    if tables.setting(Setting::ServiceUsed) == 0 {
        return Some(0);
    }
    let upper = packet.upper;
    let protocol = tables.word(at(tables, Setting::Protocols, u32::from(packet.protocol)))?;
    let key = match upper.kind {
        UpperKind::None => NO_VALUE,
        _ => paged(tables, Setting::KeyPages, upper.key)?,
    };
    let head = tables.word(cell(tables, Setting::Heads, protocol, Setting::HeadsWidth, key))?;
    if tables.setting(Setting::TailUsed) == 0 {
        return Some(head);
    }
    let source_port = match upper.kind {
        UpperKind::Ports | UpperKind::Tcp => paged(tables, Setting::SourcePortPages, upper.source_port)?,
        UpperKind::Icmp | UpperKind::None => NO_VALUE,
    };
    let flags = match upper.kind {
        UpperKind::Tcp => tables.word(at(tables, Setting::Flags, u32::from(upper.flags)))?,
        _ => NO_VALUE,
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

/// The class of packets that have no value in a dimension.
const NO_VALUE: u32 = 0;

/// The class of a 16-bit value: a directory of 256 words, each the index of a page of 256 words.
#[inline(always)]
fn paged(tables: &impl Tables, directory: Setting, value: u16) -> Option<u32> {
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
