//! Capture files, pcap and pcapng, one packet at a time.
//!
//! Bytes → **packets** → link layer → judgement. Memory does not grow with the file: one block is held at a time.

use std::io::{self, BufRead as _, BufReader, Read};

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
/// The formats are draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Blocks that hold no packets are passed over.
///
/// # Errors
///
/// [`CaptureError`] where the capture cannot be read on. `visit` has then seen the packets before.
pub fn read(input: impl Read, mut visit: impl FnMut(Packet<'_>)) -> Result<(), CaptureError> {
    let mut file = File {
        input: BufReader::with_capacity(BUFFER, input),
        at: 0,
        block: Vec::new(),
    };
    let magic: [u8; 4] = match file.next() {
        Ok(magic) => magic,
        Err(CaptureError::CutOff { .. }) => return Err(CaptureError::NotACapture),
        Err(error) => return Err(error),
    };
    if magic == SECTION {
        return pcapng(&mut file, &mut visit);
    }
    for order in [Order::Little, Order::Big] {
        if matches!(order.word(magic), MICROSECONDS | NANOSECONDS) {
            return pcap(&mut file, order, &mut visit);
        }
    }
    Err(CaptureError::NotACapture)
}

fn pcap<R: Read>(
    file: &mut File<R>,
    order: Order,
    visit: &mut impl FnMut(Packet<'_>),
) -> Result<(), CaptureError> {
    let [_version, _zone, _accuracy, _cut, network] = order.words(file.next::<20>()?);
    // The upper bits tell of checksums behind the frame.
    let link = order.half(network);
    loop {
        let at = file.at;
        if file.is_at_end()? {
            return Ok(());
        }
        let [_seconds, _fraction, captured, length] = order.words(file.next::<16>().map_err(cut_off(at))?);
        if size(captured) > MAX_BLOCK {
            return Err(CaptureError::Damaged { at });
        }
        let bytes = file.take(captured).map_err(cut_off(at))?;
        visit(Packet {
            link,
            bytes,
            length: size(length).max(bytes.len()),
        });
    }
}

/// `file` stands behind the type of the first block.
fn pcapng<R: Read>(file: &mut File<R>, visit: &mut impl FnMut(Packet<'_>)) -> Result<(), CaptureError> {
    let (mut at, mut kind) = (0, SECTION);
    let mut order = Order::Little;
    let mut interfaces = Interfaces::default();
    loop {
        let length: [u8; 4] = file.next().map_err(cut_off(at))?;
        // How much of the block is left: its body, and its length once more.
        let mut left = 8;
        if kind == SECTION {
            let magic = file.next().map_err(cut_off(at))?;
            let orders = [Order::Little, Order::Big];
            order = *orders
                .iter()
                .find(|order| order.word(magic) == BYTE_ORDER)
                .ok_or(CaptureError::Damaged { at })?;
            left += 4;
            interfaces = Interfaces::default();
        }
        let length = order.word(length);
        let body = match length.checked_sub(left + 4) {
            Some(body) if length.is_multiple_of(4) => body,
            _ => return Err(CaptureError::Damaged { at }),
        };
        match order.word(kind) {
            kind @ (INTERFACE | SIMPLE | ENHANCED) => {
                if size(body) > MAX_BLOCK {
                    return Err(CaptureError::TooLarge { at });
                }
                let block = file.take(body + 4).map_err(cut_off(at))?;
                let body = match block.split_last_chunk() {
                    Some((body, again)) if order.word(*again) == length => body,
                    _ => return Err(CaptureError::Damaged { at }),
                };
                interfaces.look(order, kind, body, at, visit)?;
            }
            _ => {
                file.skip(body).map_err(cut_off(at))?;
                if order.word(file.next().map_err(cut_off(at))?) != length {
                    return Err(CaptureError::Damaged { at });
                }
            }
        }
        at = file.at;
        if file.is_at_end()? {
            return Ok(());
        }
        kind = file.next().map_err(cut_off(at))?;
    }
}

/// The interfaces of the section that is read: link type, and the length packets were cut to.
#[derive(Default)]
struct Interfaces(Vec<(u16, usize)>);

impl Interfaces {
    fn look(
        &mut self,
        order: Order,
        kind: u32,
        body: &[u8],
        at: u64,
        visit: &mut impl FnMut(Packet<'_>),
    ) -> Result<(), CaptureError> {
        let damaged = CaptureError::Damaged { at };
        match kind {
            INTERFACE => {
                let Some([link, cut]) = body.first_chunk::<8>().map(|fields| order.words(*fields)) else {
                    return Err(damaged);
                };
                // A capture of nothing else would fill the memory.
                if self.0.len() >= MAX_INTERFACES {
                    return Err(damaged);
                }
                let cut = if cut == 0 { usize::MAX } else { size(cut) };
                let link = order.first_half(link);
                self.0.push((link, cut));
            }
            SIMPLE => {
                let Some((fields, bytes)) = body.split_first_chunk::<4>() else {
                    return Err(damaged);
                };
                let length = size(order.word(*fields));
                let (link, cut) = self.of(0, at)?;
                // What is behind the packet fills the block up to a whole word.
                let captured = length.min(cut).min(bytes.len());
                visit(Packet {
                    link,
                    bytes: bytes.get(..captured).unwrap_or(bytes),
                    length,
                });
            }
            _ => {
                let Some((fields, bytes)) = body.split_first_chunk::<20>() else {
                    return Err(damaged);
                };
                let [interface, _high, _low, captured, length] = order.words(*fields);
                let (link, _cut) = self.of(interface, at)?;
                let bytes = bytes.get(..size(captured)).ok_or(damaged)?;
                visit(Packet {
                    link,
                    bytes,
                    length: size(length).max(bytes.len()),
                });
            }
        }
        Ok(())
    }

    fn of(&self, interface: u32, at: u64) -> Result<(u16, usize), CaptureError> {
        let found = self.0.get(size(interface)).copied();
        found.ok_or(CaptureError::Interface { at, interface })
    }
}

/// In which order the writer put the bytes of a number.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn word(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn words<const BYTES: usize, const WORDS: usize>(self, bytes: [u8; BYTES]) -> [u32; WORDS] {
        const { assert!(BYTES == WORDS * 4, "whole words") };
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = self.word(*bytes);
        }
        words
    }

    /// The lower half of a number.
    fn half(self, number: u32) -> u16 {
        let [low, high, ..] = number.to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// The half of a word that is written first, where two numbers share it.
    fn first_half(self, word: u32) -> u16 {
        match self {
            Self::Little => self.half(word),
            Self::Big => self.half(word >> 16),
        }
    }
}

/// The file, and how far it was read.
struct File<R> {
    input: BufReader<R>,
    at: u64,
    block: Vec<u8>,
}

impl<R: Read> File<R> {
    fn next<const N: usize>(&mut self) -> Result<[u8; N], CaptureError> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(failed(self.at))?;
        self.at += N as u64;
        Ok(bytes)
    }

    /// The next bytes. Room is made as they come, not as they are announced.
    fn take(&mut self, count: u32) -> Result<&[u8], CaptureError> {
        self.block.clear();
        let mut input = self.input.by_ref().take(count.into());
        let read = input.read_to_end(&mut self.block).map_err(failed(self.at))?;
        if read < size(count) {
            return Err(CaptureError::CutOff { at: self.at });
        }
        self.at += u64::from(count);
        Ok(&self.block)
    }

    fn skip(&mut self, count: u32) -> Result<(), CaptureError> {
        let mut input = self.input.by_ref().take(count.into());
        let passed = io::copy(&mut input, &mut io::sink()).map_err(failed(self.at))?;
        if passed < u64::from(count) {
            return Err(CaptureError::CutOff { at: self.at });
        }
        self.at += passed;
        Ok(())
    }

    fn is_at_end(&mut self) -> Result<bool, CaptureError> {
        loop {
            match self.input.fill_buf() {
                Ok(bytes) => return Ok(bytes.is_empty()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(self.at)(error)),
            }
        }
    }
}

fn failed(at: u64) -> impl FnOnce(io::Error) -> CaptureError {
    move |source| match source.kind() {
        io::ErrorKind::UnexpectedEof => CaptureError::CutOff { at },
        _ => CaptureError::Read { at, source },
    }
}

/// Names the start of the block that the file ends in.
fn cut_off(at: u64) -> impl FnOnce(CaptureError) -> CaptureError {
    move |error| match error {
        CaptureError::CutOff { .. } => CaptureError::CutOff { at },
        error => error,
    }
}

fn size(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Seconds and microseconds before each packet of a pcap file.
const MICROSECONDS: u32 = 0xa1b2_c3d4;
/// Seconds and nanoseconds.
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// A section's first block; the same in both orders.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;

/// Bytes asked of the system at once.
const BUFFER: usize = 256 << 10;

/// A packet that claims 4 GiB must not be given them. Packets have at most 64 KiB, and comments may follow.
const MAX_BLOCK: usize = 16 << 20;

/// No capture has as many; see [`Interfaces`].
const MAX_INTERFACES: usize = 1 << 16;
