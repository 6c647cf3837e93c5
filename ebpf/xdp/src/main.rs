//! The XDP program: contexts become a `Frame`, maps become `Tables`, a verdict becomes an action. Glue only: what is
//! decided is decided in `ravelin-datapath`.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod bans;
mod frame;
mod maps;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use ravelin_datapath::wire::Setting;
use ravelin_datapath::{Frame, Origin, Verdict, judge};

use crate::bans::MapBans;
use crate::frame::XdpFrame;
use crate::maps::{Classes, MapTables};

/// The loopback device is the first of every network namespace (`LOOPBACK_IFINDEX` in the kernel).
const LOOPBACK: u32 = 1;

/// Judges one inbound frame.
#[xdp(frags)]
#[inline(always)]
pub fn ravelin_ingress(context: XdpContext) -> u32 {
    let origin = Origin {
        loopback: frame::interface(&context) == LOOPBACK,
        interface: frame::interface(&context),
        now: maps::now(),
    };
    let frame = XdpFrame::new(&context);
    let (Some(tables), Some(bans)) = (MapTables::open(), MapBans::open()) else {
        // The maps have one element each, always.
        return xdp_action::XDP_ABORTED;
    };
    let judgement = judge(&frame, &tables, &bans, origin, &mut Classes(&frame));
    maps::count(&judgement, frame.length() as u64);
    if matches!(judgement.verdict, Verdict::Deny) && MapTables::setting(Setting::Enforce) != 0 {
        return xdp_action::XDP_DROP;
    }
    xdp_action::XDP_PASS
}

/// A reachable panic is an endless loop, which the verifier refuses: a program that loads cannot panic.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lets only GPL-compatible programs call some helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
