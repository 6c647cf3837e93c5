//! The programs, one a direction: contexts become a `Frame`, maps become `Tables`, a verdict becomes an action. Glue only: what
//! is decided is decided in `ravelin-datapath`.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod bans;
mod clock;
mod cookies;
mod flows;
mod frame;
mod limits;
mod lines;
mod maps;
mod skb;
mod words;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use ravelin_datapath::wire::Setting;
use ravelin_datapath::{Frame, NoBans, Origin, Verdict, judge};

use crate::bans::MapBans;
use crate::flows::KernelMemory;
use crate::frame::XdpFrame;
use crate::maps::{Inbound, Outbound};
use crate::skb::SkbFrame;

/// The loopback device is the first of every network namespace (`LOOPBACK_IFINDEX` in the kernel).
const LOOPBACK: u32 = 1;

/// Judges one inbound frame.
#[xdp(frags)]
#[inline(always)]
pub fn ravelin_ingress(context: XdpContext) -> u32 {
    let frame = XdpFrame::new(&context);
    let Some(tables) = Inbound::open() else {
        // The map has one element, always.
        return xdp_action::XDP_ABORTED;
    };
    let origin = Origin {
        loopback: frame::interface(&context) == LOOPBACK,
        interface: frame::interface(&context),
        now: Inbound::now(),
        tick: clock::tick(&tables),
    };
    let judgement = judge(
        &frame,
        &tables,
        &MapBans,
        &KernelMemory::inbound(&context),
        origin,
        &mut Inbound::classes(&frame),
    );
    Inbound::count(&judgement, frame.length() as u64);
    if matches!(judgement.verdict, Verdict::Deny) && Inbound::setting(Setting::Enforce) != 0 {
        // Counted as it came: from here on it may be another frame. Whether it is one that is answered, the function knows: a branch on the reason
        // would be one more fork behind all paths, for every policy.
        if Inbound::setting(Setting::SynProxyUsed) != 0 {
            return cookies::ravelin_denied(context.ctx);
        }
        return xdp_action::XDP_DROP;
    }
    xdp_action::XDP_PASS
}

/// Judges one outbound frame.
#[classifier]
#[inline(always)]
pub fn ravelin_egress(context: TcContext) -> i32 {
    let frame = SkbFrame::new(&context);
    let Some(tables) = Outbound::open() else {
        // The map has one element, always.
        return TC_ACT_SHOT;
    };
    let origin = Origin {
        loopback: skb::interface(&context) == LOOPBACK,
        interface: skb::interface(&context),
        now: Outbound::now(),
        tick: clock::tick(&tables),
    };
    let judgement = judge(
        &frame,
        &tables,
        &NoBans,
        &KernelMemory::outbound(),
        origin,
        &mut Outbound::classes(&frame),
    );
    Outbound::count(&judgement, frame.length() as u64);
    if matches!(judgement.verdict, Verdict::Deny) && Outbound::setting(Setting::Enforce) != 0 {
        return TC_ACT_SHOT;
    }
    TCX_NEXT
}

/// linux/pkt_cls.h: the packet is dropped.
const TC_ACT_SHOT: i32 = 2;

/// linux/bpf.h, `enum tcx_action_base`: the programs behind this one, then the device.
const TCX_NEXT: i32 = -1;

/// A reachable panic is an endless loop, which the verifier refuses: a program that loads cannot panic.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lets only GPL-compatible programs call some helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
