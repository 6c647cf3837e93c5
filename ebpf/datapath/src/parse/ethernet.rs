//! Ethernet II with up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use crate::judge::{Judge, Step, Witness};
use crate::{Frame, ParseClass, Tables};

/// EtherType of IPv4.
pub(crate) const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub(crate) const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub(crate) const IPV6: u16 = 0x86dd;

/// The EtherType inside all tags, and where its payload starts.
#[inline(always)]
pub(crate) fn ethernet<T: Tables, W: Witness>(
    judge: &mut Judge<'_, T, W>,
    frame: &impl Frame,
) -> Step<(u16, usize)> {
    let Some(header) = frame.read::<14>(0) else {
        return judge.end(ParseClass::Truncated);
    };
    let mut ether_type = u16::from_be_bytes([header[12], header[13]]);
    if !is_tag(ether_type) {
        return Step::Continue((ether_type, 14));
    }
    let Some(tag) = frame.read::<4>(14) else {
        return judge.end(ParseClass::Truncated);
    };
    ether_type = u16::from_be_bytes([tag[2], tag[3]]);
    if !is_tag(ether_type) {
        judge.see(ParseClass::Vlan)?;
        return Step::Continue((ether_type, 18));
    }
    let Some(tag) = frame.read::<4>(18) else {
        return judge.end(ParseClass::Truncated);
    };
    ether_type = u16::from_be_bytes([tag[2], tag[3]]);
    if is_tag(ether_type) {
        return judge.end(ParseClass::VlanDepth);
    }
    judge.see(ParseClass::Qinq)?;
    Step::Continue((ether_type, 22))
}

#[inline(always)]
pub(crate) const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, 0x8100 | 0x88a8)
}
