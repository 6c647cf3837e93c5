//! Asks rtnetlink(7), and reads what the kernel answers, with bounds.
//!
//! interface, clsact → **netlink** → kernel. Knows messages and attributes, and nothing of what they mean.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

/// Sends one request, and gives the messages that answer it, each with its header, up to the word that ends them.
pub(super) fn request(kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let socket: OwnedFd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    // Reads and writes on a netlink socket are whole messages, so a file's are enough.
    let mut socket = File::from(socket);
    let length = u32::try_from(HEADER_BYTES + body.len()).map_err(io::Error::other)?;
    // A dump has an end of its own.
    let end = if flags & NLM_F_DUMP == 0 { NLM_F_ACK } else { 0 };
    let mut message = Vec::with_capacity(HEADER_BYTES + body.len());
    // struct nlmsghdr: length, type, flags, sequence, port.
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | end | flags).to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    socket.write_all(&message)?;

    let mut answers = Vec::new();
    let mut buffer = vec![0; ANSWER_BYTES];
    for _ in 0..MOST_READS {
        let length = socket.read(&mut buffer)?;
        for answer in Messages(buffer.get(..length).unwrap_or_default()) {
            match self::kind(answer) {
                // Of both, the body begins with an error's number, negated; 0 when there is none.
                Some(NLMSG_ERROR | NLMSG_DONE) => {
                    let code = answer.get(HEADER_BYTES..).and_then(word).unwrap_or_default();
                    return match code.cast_signed() {
                        0 => Ok(answers),
                        code => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
                    };
                }
                _ => answers.push(answer.to_vec()),
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::InvalidData))
}

/// The type in a message's header.
pub(super) fn kind(message: &[u8]) -> Option<u16> {
    let bytes = message.get(4..).and_then(<[u8]>::first_chunk)?;
    Some(u16::from_ne_bytes(*bytes))
}

/// Walks the messages of one read; stops at the first that does not fit.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::try_from(word(self.0)?).ok()?;
        let message = self.0.get(..length).filter(|_| length >= HEADER_BYTES)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// Walks netlink attributes; stops at the first that does not fit.
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [l0, l1, k0, k1, ..] = *self.0 else {
            return None;
        };
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let kind = u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK;
        let value = self.0.get(ATTRIBUTE_BYTES..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The 32-bit number that the bytes begin with.
pub(super) fn word(bytes: &[u8]) -> Option<u32> {
    let bytes = bytes.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*bytes))
}

/// Bytes of `struct nlmsghdr`.
pub(super) const HEADER_BYTES: usize = 16;
/// The flags of a request for all there are.
pub(super) const NLM_F_DUMP: u16 = 0x300;
const ATTRIBUTE_BYTES: usize = 4;
/// The kernel fills at most 32 KiB at once; an answer about one interface, virtual functions not asked for, takes about 2 KiB.
const ANSWER_BYTES: usize = 64 * 1024;
/// Whoever has put so many filters on an interface does not keep us here for ever.
const MOST_READS: usize = 1024;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
/// The upper two bits of an attribute's type are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;

#[cfg(test)]
mod tests {
    use super::{Attributes, Messages};

    #[test]
    fn attributes_that_lie_about_their_length_end_the_walk() {
        assert_eq!(Attributes(&[255, 255, 1, 0]).count(), 0);
        assert_eq!(Attributes(&[0, 0, 1, 0, 9, 9]).count(), 0);
        assert_eq!(Attributes(&[3, 0, 1]).count(), 0);
    }

    #[test]
    fn messages_that_lie_about_their_length_end_the_walk() {
        let whole = [&20_u32.to_ne_bytes()[..], &[0; 16]].concat();
        assert_eq!(Messages(&[&whole[..], &whole[..]].concat()).count(), 2);
        for lie in [0_u32, 15, 21, u32::MAX] {
            let bytes = [&lie.to_ne_bytes()[..], &[0; 16]].concat();
            assert_eq!(Messages(&bytes).count(), 0, "{lie}");
        }
    }
}
