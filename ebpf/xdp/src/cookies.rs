//! `HostTcp` over the kernel's own sockets, and the answer in the place of the SYN.
//!
//! The socket that listens makes the cookie and remembers that it has: without that the kernel would refuse the ACK. Decision 0022.

use core::ffi::c_void;

use aya_ebpf::bindings::{bpf_sock_tuple, xdp_action, xdp_md};
use aya_ebpf::helpers::generated::{
    bpf_sk_release, bpf_skc_lookup_tcp, bpf_tcp_check_syncookie, bpf_tcp_gen_syncookie, bpf_xdp_adjust_tail,
    bpf_xdp_get_buff_len, bpf_xdp_load_bytes, bpf_xdp_store_bytes,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::XdpContext;
use ravelin_datapath::HostTcp;
use ravelin_datapath::cookie::{self, Cookie, KNOWN, LONGEST, Segment};
use ravelin_datapath::wire::{FlowTables, Plane};

use crate::flows;
use crate::frame::XdpFrame;
use crate::maps::Inbound;

/// The headers of this processor's packet, from the IP header on. Here and not on the stack, for the reason that `FLOW_CLAIM` has; and a place of
/// fixed size, which the verifier wants for a header whose length the packet says.
#[map]
static COOKIE_HEADERS: PerCpuArray<[u8; HEADERS]> = PerCpuArray::with_max_entries(1, 0);

/// The answer to it.
#[map]
static COOKIE_ANSWER: PerCpuArray<[u8; LONGEST]> = PerCpuArray::with_max_entries(1, 0);

/// The cookie of this processor's packet, packed: there from the moment in which it is made until the packet is the answer.
#[map]
static COOKIE_MADE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Whether this packet, a SYN, is answered; [`ravelin_denied`] does it.
#[inline(always)]
pub fn answers(context: *mut xdp_md) -> bool {
    ravelin_syn_cookie(context) > KNOWN
}

/// When this packet, an ACK, brings back a cookie, its claim is proven.
#[inline(always)]
pub fn prove(context: *mut xdp_md) {
    ravelin_syn_cookie(context);
}

/// What the host's TCP says of this packet: a global function to the kernel, verified once, whatever leads to it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ravelin_syn_cookie(context: *mut xdp_md) -> u64 {
    let (Some(tables), Some(made)) = (Inbound::open(), COOKIE_MADE.get_ptr_mut(0)) else {
        return 0;
    };
    let program = XdpContext::new(context);
    let said = cookie::ask(&tables, &Sockets(context), &XdpFrame::new(&program));
    if said == KNOWN {
        flows::prove();
        flows::count(FlowTables::Proven);
    }
    // SAFETY: this CPU's own element.
    unsafe { *made = said }
    said
}

/// Makes this packet, which is denied, the answer to it, if a cookie was made for it, and says what becomes of that. It leaves by the way on which
/// the SYN came: who sent it is behind that, or nobody is answered.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ravelin_denied(context: *mut xdp_md) -> u32 {
    let Some(made) = COOKIE_MADE.get_ptr_mut(0) else {
        return xdp_action::XDP_DROP;
    };
    // SAFETY: this CPU's own element.
    let cookie = unsafe { made.replace(0) };
    match Cookie::unpack(cookie).and_then(|cookie| answer(context, cookie)) {
        Some(()) => xdp_action::XDP_TX,
        None => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn answer(context: *mut xdp_md, cookie: Cookie) -> Option<()> {
    let program = XdpContext::new(context);
    let syn = cookie::segment(&XdpFrame::new(&program))?;
    let bytes = COOKIE_ANSWER.get_ptr_mut(0)?;
    let headers = COOKIE_HEADERS.get_ptr_mut(0)?.cast::<u8>();
    // SAFETY: this CPU's own element, and no other reference to it.
    let length = cookie::answer(&syn, cookie, unsafe { &mut *bytes });
    // SAFETY: the context is the program's own, here and below.
    let total = (unsafe { bpf_xdp_get_buff_len(context) }) as usize;
    // Not longer than the SYN, and not shorter than an Ethernet frame has to be, where the SYN was not.
    let least = if total < SHORTEST_FRAME {
        total
    } else {
        SHORTEST_FRAME
    };
    let end = syn.start + length;
    let end = if end < least { least } else { end };
    let size = end.checked_sub(syn.start)?;
    if size == 0 || size > LONGEST || end > total {
        return None;
    }
    let shorter = end as i32 - total as i32;
    // SAFETY: as above; `bytes` has `LONGEST` bytes, and `headers` at least twelve.
    unsafe {
        if bpf_xdp_adjust_tail(context, shorter) != 0
            || bpf_xdp_store_bytes(context, syn.start as u32, bytes.cast(), size as u32) != 0
            || bpf_xdp_load_bytes(context, 0, headers.cast(), 6) != 0
            || bpf_xdp_load_bytes(context, 6, headers.add(6).cast(), 6) != 0
            || bpf_xdp_store_bytes(context, 0, headers.add(6).cast(), 6) != 0
            || bpf_xdp_store_bytes(context, 6, headers.cast(), 6) != 0
        {
            return None;
        }
    }
    Some(())
}

/// The sockets of the network namespace that the packet comes to.
struct Sockets(*mut xdp_md);

impl Sockets {
    /// Asks the socket that the packet would come to, with its headers, whose IP part has so many bytes.
    #[inline(always)]
    fn ask<R>(
        &self,
        segment: &Segment,
        header: usize,
        ask: impl FnOnce(*mut c_void, *mut u8, u32, *mut c_void) -> R,
    ) -> Option<R> {
        let headers = COOKIE_HEADERS.get_ptr_mut(0)?.cast::<u8>();
        // Addresses and ports stand beside each other in the packet, as they do in a tuple.
        let (ip, tuple, tuple_size) = match segment.plane {
            Plane::V4 => (20, 12, 12),
            Plane::V6 => (40, 8, 36),
        };
        if header < 20 || header > MOST_TCP {
            return None;
        }
        // SAFETY: the context is the program's own; the place has room for both headers at their longest, and the tuple is in it. The socket is
        // given back on the only way that has one.
        unsafe {
            if bpf_xdp_load_bytes(self.0, segment.start as u32, headers.cast(), ip + header as u32) != 0 {
                return None;
            }
            let tuple = headers.add(tuple).cast::<bpf_sock_tuple>();
            let socket = bpf_skc_lookup_tcp(self.0.cast(), tuple, tuple_size, CURRENT_NAMESPACE, 0);
            if socket.is_null() {
                return None;
            }
            let said = ask(socket.cast(), headers, ip, headers.add(ip as usize).cast());
            bpf_sk_release(socket.cast());
            Some(said)
        }
    }
}

impl HostTcp for Sockets {
    #[inline(always)]
    fn cookie(&self, syn: &Segment) -> Option<Cookie> {
        let said = self.ask(syn, syn.header, |socket, ip, length, tcp| {
            // SAFETY: the socket is held, and the headers have so many bytes.
            unsafe { bpf_tcp_gen_syncookie(socket, ip.cast(), length, tcp.cast(), syn.header as u32) }
        })?;
        // Errors are negative.
        if said < 0 {
            None
        } else {
            Cookie::unpack(said as u64)
        }
    }

    #[inline(always)]
    fn knows(&self, ack: &Segment) -> bool {
        self.ask(ack, 20, |socket, ip, length, tcp| {
            // SAFETY: as above.
            unsafe { bpf_tcp_check_syncookie(socket, ip.cast(), length, tcp.cast(), 20) == 0 }
        })
        .unwrap_or(false)
    }
}

/// Bytes of a TCP header at its longest.
const MOST_TCP: usize = 60;
/// Bytes of an IPv6 header and a TCP header at its longest.
const HEADERS: usize = 40 + MOST_TCP;
/// Bytes of the shortest Ethernet frame, without its checksum (IEEE 802.3).
const SHORTEST_FRAME: usize = 60;
/// linux/bpf.h: `BPF_F_CURRENT_NETNS`.
const CURRENT_NAMESPACE: u64 = u64::MAX;
