//! Capture files, pcap and pcapng, one packet at a time.
//!
//! Bytes → **packets** → link layer → judgement. Memory does not grow with the file: one block is held at a time.

use std::io::{self, Read};

use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};
use thiserror::Error;

/// A packet of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The link type of its interface, as the registry of the capture formats numbers them.
    pub link: u16,
    /// What was captured of it.
    pub bytes: &'a [u8],
    /// How long it was on the wire, in bytes; at least as long as `bytes`.
    pub length: usize,
}

/// Why reading a capture ended early.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// It is something else.
    #[error("this is no capture; give a pcap or pcapng file, as tcpdump and wireshark write them")]
    NotACapture,
    /// The system says no.
    #[error("cannot read the capture at byte {at}: {source}")]
    Read {
        /// Where.
        at: u64,
        /// What it says.
        source: io::Error,
    },
    /// The bytes contradict the format.
    #[error("the capture is damaged at byte {at}; what stands before was read")]
    Damaged {
        /// Where the block that cannot be read starts.
        at: u64,
    },
    /// It ends inside a block.
    #[error("the capture ends in the middle of a packet, at byte {at}; what stands before was read")]
    CutOff {
        /// Where the last block starts.
        at: u64,
    },
    /// A block beyond all packets.
    #[error("the block at byte {at} of the capture is larger than {} MiB; what stands before was read", MAX_BLOCK >> 20)]
    TooLarge {
        /// Where the block starts.
        at: u64,
    },
    /// A packet of an interface that was never described.
    #[error("the packet at byte {at} is of interface {interface}, which the capture does not describe")]
    Interface {
        /// Where.
        at: u64,
        /// The number.
        interface: u32,
    },
}

/// Calls `visit` for every packet of the capture, in its order.
///
/// # Errors
///
/// [`CaptureError`] where the capture cannot be read on. `visit` has then seen the packets before.
pub fn read(input: impl Read + Send, mut visit: impl FnMut(Packet<'_>)) -> Result<(), CaptureError> {
    let mut failed = None;
    let input = Whole {
        input,
        failed: &mut failed,
    };
    let result = blocks(input, &mut visit);
    match failed {
        Some(source) => Err(CaptureError::Read {
            at: result.unwrap_or_else(|error| error.at()),
            source,
        }),
        None => result.map(|_end| ()),
    }
}

/// Where the capture ended.
fn blocks(input: impl Read + Send, visit: &mut impl FnMut(Packet<'_>)) -> Result<u64, CaptureError> {
    let mut reader = match create_reader(BLOCK, input) {
        Ok(reader) => reader,
        Err(PcapError::ReadError) => return Ok(0),
        Err(_other) => return Err(CaptureError::NotACapture),
    };
    let mut interfaces = Interfaces::default();
    let mut buffer = BLOCK;
    loop {
        let at = u64::try_from(reader.consumed()).unwrap_or(u64::MAX);
        let wish = match reader.next() {
            Ok((size, block)) => {
                interfaces.look(&block, at, visit)?;
                Wish::Consume(size)
            }
            Err(PcapError::Eof) => return Ok(at),
            Err(PcapError::Incomplete(_)) => Wish::Refill,
            Err(PcapError::BufferTooSmall) => Wish::Grow,
            Err(PcapError::UnexpectedEof) => return Err(CaptureError::CutOff { at }),
            Err(_other) => return Err(CaptureError::Damaged { at }),
        };
        match wish {
            // A block without a length would be read for ever.
            Wish::Consume(0) => return Err(CaptureError::Damaged { at }),
            Wish::Consume(size) => reader.consume(size),
            Wish::Refill => {
                let before = reader.data().len();
                if reader.refill().is_err() {
                    return Ok(at);
                }
                if reader.data().len() == before && !reader.reader_exhausted() {
                    buffer = grown(reader.as_mut(), buffer, at)?;
                }
            }
            Wish::Grow => {
                buffer = grown(reader.as_mut(), buffer, at)?;
                if reader.refill().is_err() {
                    return Ok(at);
                }
            }
        }
    }
}

/// A buffer twice as large.
fn grown(reader: &mut dyn PcapReaderIterator, size: usize, at: u64) -> Result<usize, CaptureError> {
    let size = size * 2;
    if size > MAX_BLOCK || !reader.grow(size) {
        return Err(CaptureError::TooLarge { at });
    }
    Ok(size)
}

/// What the reader wants next; its block is no longer borrowed then.
enum Wish {
    Consume(usize),
    Refill,
    Grow,
}

/// The interfaces of the section that is read: link type and the length packets were cut to.
#[derive(Default)]
struct Interfaces(Vec<(u16, usize)>);

impl Interfaces {
    fn look(
        &mut self,
        block: &PcapBlockOwned<'_>,
        at: u64,
        visit: &mut impl FnMut(Packet<'_>),
    ) -> Result<(), CaptureError> {
        let packet = match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.0 = vec![(link_type(header.network.0), usize::MAX)];
                return Ok(());
            }
            PcapBlockOwned::Legacy(packet) => {
                let (link, _cut) = self.of(0, at)?;
                Packet {
                    link,
                    bytes: packet.data,
                    length: size(packet.origlen),
                }
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.0.clear();
                return Ok(());
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                // A capture of nothing else would fill the memory.
                if self.0.len() >= MAX_INTERFACES {
                    return Err(CaptureError::Damaged { at });
                }
                let cut = match interface.snaplen {
                    0 => usize::MAX,
                    cut => size(cut),
                };
                self.0.push((link_type(interface.linktype.0), cut));
                return Ok(());
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let (link, _cut) = self.of(packet.if_id, at)?;
                Packet {
                    link,
                    bytes: packet.packet_data(),
                    length: size(packet.origlen),
                }
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let (link, cut) = self.of(0, at)?;
                let bytes = packet.packet_data();
                Packet {
                    link,
                    bytes: bytes.get(..cut).unwrap_or(bytes),
                    length: size(packet.origlen),
                }
            }
            PcapBlockOwned::NG(_) => return Ok(()),
        };
        visit(Packet {
            length: packet.length.max(packet.bytes.len()),
            ..packet
        });
        Ok(())
    }

    fn of(&self, interface: u32, at: u64) -> Result<(u16, usize), CaptureError> {
        let found = self.0.get(size(interface)).copied();
        found.ok_or(CaptureError::Interface { at, interface })
    }
}

/// The upper bits of a pcap header's field tell of checksums behind the frame.
fn link_type(network: i32) -> u16 {
    let [low, high, ..] = network.to_le_bytes();
    u16::from_le_bytes([low, high])
}

fn size(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

impl CaptureError {
    fn at(&self) -> u64 {
        match self {
            Self::NotACapture => 0,
            Self::Read { at, .. }
            | Self::Damaged { at }
            | Self::CutOff { at }
            | Self::TooLarge { at }
            | Self::Interface { at, .. } => *at,
        }
    }
}

/// Fills what it is given, also from a pipe that has less at hand: the reader takes a short read for all there is. Keeps the
/// error that the reader forgets.
struct Whole<'a, R> {
    input: R,
    failed: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Whole<'_, R> {
    fn read(&mut self, mut space: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while !space.is_empty() {
            match self.input.read(space) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    space = space.get_mut(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    *self.failed = Some(error);
                    return Err(kind.into());
                }
            }
        }
        Ok(filled)
    }
}

/// Bytes held of the file, to begin with.
const BLOCK: usize = 1 << 20;

/// A block that claims 4 GiB must not be given them. Packets have at most 64 KiB; comments and secrets may be longer.
const MAX_BLOCK: usize = 16 << 20;

/// No capture has as many; see [`Interfaces`].
const MAX_INTERFACES: usize = 1 << 16;
