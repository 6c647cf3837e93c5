//! Asks the kernel about a network interface: its index, and what XDP program is on it, in which mode.
//!
//! One `RTM_GETLINK` request over rtnetlink (rtnetlink(7)), because nothing else tells the mode that was really reached.
//! The kernel's answer is read with bounds all the same.

use std::io;

use nix::net::if_::if_nametoindex;

use super::netlink::{self, Attributes, HEADER_BYTES, word};

/// An interface as the kernel sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index in this network namespace.
    pub index: u32,
    /// Frames on it begin with an Ethernet header.
    pub ethernet: bool,
    /// The XDP program on it.
    pub xdp: Option<Xdp>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// Where in the packet's path it runs.
    pub mode: AttachedMode,
    /// The program's id.
    pub program: u32,
}

/// The XDP mode that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttachedMode {
    /// In the stack, after the socket buffer is built.
    Generic,
    /// In the driver.
    Native,
    /// In the network card.
    Offload,
}

impl AttachedMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Generic, Self::Native, Self::Offload];

    /// The word in policies, metrics and messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Native => "native",
            Self::Offload => "offload",
        }
    }
}

impl Interface {
    /// Looks up the interface of that name.
    ///
    /// # Errors
    ///
    /// When there is none, or the kernel does not answer.
    pub fn look(name: &str) -> Result<Self, InterfaceError> {
        let index = if_nametoindex(name).map_err(|_no_such| InterfaceError::Unknown(name.to_owned()))?;
        let answer = request(index).map_err(|source| InterfaceError::Ask {
            interface: name.to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            index,
            ethernet: is_ethernet(&answer),
            xdp: parse(&answer),
        })
    }
}

/// Why an interface is not known.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// The kernel did not answer.
    #[error("cannot ask the kernel about the interface `{interface}`")]
    Ask {
        /// The interface.
        interface: String,
        /// Why.
        source: io::Error,
    },
    /// No such interface.
    #[error("there is no interface `{0}` on this host: `ip link` lists them")]
    Unknown(String),
}

fn request(index: u32) -> io::Result<Vec<u8>> {
    // struct ifinfomsg: family, padding, device type, index, flags, change mask.
    let mut body = [0; IFINFO_BYTES];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    let answers = netlink::request(RTM_GETLINK, 0, &body)?;
    let mut answers = answers.into_iter();
    answers
        .find(|answer| netlink::kind(answer) == Some(RTM_NEWLINK))
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// The device type in `struct ifinfomsg`: Ethernet, or the loopback device, whose frames have the same header.
fn is_ethernet(answer: &[u8]) -> bool {
    let kind = answer
        .get(HEADER_BYTES + DEVICE_TYPE..)
        .and_then(<[u8]>::first_chunk);
    kind.is_some_and(|kind| matches!(u16::from_ne_bytes(*kind), ARPHRD_ETHER | ARPHRD_LOOPBACK))
}

/// The XDP attributes of an `RTM_NEWLINK` message.
fn parse(answer: &[u8]) -> Option<Xdp> {
    let body = answer.get(HEADER_BYTES + IFINFO_BYTES..)?;
    let (_, xdp) = Attributes(body).find(|(kind, _)| *kind == IFLA_XDP)?;
    let find = |wanted: u16| {
        Attributes(xdp)
            .find(|(kind, _)| *kind == wanted)
            .map(|(_, value)| value)
    };
    let mode = match find(IFLA_XDP_ATTACHED)?.first()? {
        1 => AttachedMode::Native,
        2 => AttachedMode::Generic,
        3 => AttachedMode::Offload,
        // In several modes at once: the driver's program sees packets first.
        4 if find(IFLA_XDP_DRV_PROG_ID).is_some() => AttachedMode::Native,
        4 => AttachedMode::Offload,
        _ => return None,
    };
    let of_mode = match mode {
        AttachedMode::Generic => IFLA_XDP_SKB_PROG_ID,
        AttachedMode::Native => IFLA_XDP_DRV_PROG_ID,
        AttachedMode::Offload => IFLA_XDP_HW_PROG_ID,
    };
    let program = find(of_mode).or_else(|| find(IFLA_XDP_PROG_ID)).and_then(word)?;
    Some(Xdp { mode, program })
}

const IFINFO_BYTES: usize = 16;
const DEVICE_TYPE: usize = 2;
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_HW_PROG_ID: u16 = 7;

#[cfg(test)]
mod tests {
    use super::{AttachedMode, Interface, Xdp, parse};

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn answer(xdp: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 32];
        bytes.extend(attribute(3, b"eth0\0"));
        bytes.extend(attribute(43 | 0x8000, xdp));
        bytes
    }

    #[test]
    fn a_native_program_is_found_by_its_mode() {
        let xdp = [
            attribute(2, &[1]),
            attribute(4, &7_u32.to_ne_bytes()),
            attribute(5, &7_u32.to_ne_bytes()),
        ];
        let expected = Xdp {
            mode: AttachedMode::Native,
            program: 7,
        };
        assert_eq!(parse(&answer(&xdp.concat())), Some(expected));
    }

    #[test]
    fn an_interface_without_a_program_has_none() {
        assert_eq!(parse(&answer(&attribute(2, &[0]))), None);
    }

    #[test]
    fn the_loopback_interface_is_the_first() {
        let lo = Interface::look("lo").unwrap();
        assert_eq!((lo.index, lo.ethernet), (1, true));
        assert!(Interface::look("no-such-thing").is_err());
    }
}
