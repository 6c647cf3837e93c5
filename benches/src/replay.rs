//! A trace replayed in the kernel, another packet each run: frames → **`Replay`** → nanoseconds a packet.
//!
//! `BPF_PROG_TEST_RUN` measures many runs of one frame, and a branch that always goes the same way costs nothing. So a
//! small program writes the next headers of the trace over the frame and calls the program under test as its tail. What
//! that costs is measured too, with a program that only drops: figures are *net* of it.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a bench stops when it cannot measure"
)]

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, ProgramArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use ipnet::IpNet;

/// A program that the replay object holds, to measure others against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Drops.
    Empty,
    /// Hands every packet to the network stack.
    Pass,
    /// Sends every packet out by the interface that it is said to come in on.
    Transmit,
    /// Counts as a packet is counted that a rule decided.
    Counted,
    /// Reads headers.
    Headers,
    /// Looks up the source in the kernel's longest-prefix-match trie of IPv4.
    Trie4,
    /// The same for IPv6.
    Trie6,
}

impl Peer {
    const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Pass => "pass",
            Self::Transmit => "transmit",
            Self::Counted => "counted",
            Self::Headers => "headers",
            Self::Trie4 => "trie4",
            Self::Trie6 => "trie6",
        }
    }
}

/// A trace in the kernel.
pub struct Replay {
    ebpf: Ebpf,
    context: [u8; 24],
    frames: u32,
}

impl Replay {
    /// Loads the trace. `interface` is where its packets come in.
    #[must_use]
    pub fn new(frames: &[Vec<u8>], interface: u32) -> Self {
        Self::with_prefixes(frames, interface, &[])
    }

    /// As [`Self::new`], with prefixes for the kernel's tries.
    #[must_use]
    pub fn with_prefixes(frames: &[Vec<u8>], interface: u32, prefixes: &[IpNet]) -> Self {
        let count = u32::try_from(frames.len()).expect("a trace's length");
        let room = u32::try_from(prefixes.len().max(1)).expect("a bounded number of prefixes");
        let mut ebpf = EbpfLoader::new()
            .override_global("FRAMES", &count, true)
            .map_max_entries("TRACE", count)
            .map_max_entries("PREFIXES4", room)
            .map_max_entries("PREFIXES6", room)
            .load(OBJECT)
            .expect("the replay programs load");
        let mut trace: Array<_, [u8; FRAME_BYTES]> = ebpf
            .map_mut("TRACE")
            .and_then(|map| map.try_into().ok())
            .expect("an array");
        for (index, frame) in (0..).zip(frames) {
            let mut slot = [0; FRAME_BYTES];
            for (to, from) in slot.iter_mut().zip(frame) {
                *to = *from;
            }
            trace.set(index, slot, 0).expect("a frame of the trace");
        }
        fill(&mut ebpf, prefixes);
        let mut context = [0; 24];
        for (field, word) in context
            .chunks_exact_mut(4)
            .zip([0, DATA_BYTES, 0, interface, 0, 0])
        {
            field.copy_from_slice(&word.to_ne_bytes());
        }
        let mut replay = Self {
            ebpf,
            context,
            frames: count,
        };
        replay.program("replay").load().expect("the verifier accepts it");
        replay
    }

    /// Nanoseconds a packet of the harness and the program behind `subject`: the whole trace, several times over.
    pub fn subject(&mut self, subject: &ProgramFd) -> f64 {
        self.place(subject);
        self.mean()
    }

    /// As [`Self::subject`], for a program of the replay object.
    pub fn peer(&mut self, peer: Peer) -> f64 {
        self.place_peer(peer);
        self.mean()
    }

    /// Of several measurements: whole nanoseconds are coarse.
    fn mean(&mut self) -> f64 {
        let sum: f64 = (0..MEASUREMENTS)
            .map(|_| self.run(TestRunAttrs::new(), self.runs()))
            .sum();
        sum / f64::from(MEASUREMENTS)
    }

    /// Nanoseconds a packet that the network stack takes longer on the interface `with` than on `without`: what is hooked
    /// there costs that. The frames are really delivered, so few of them will do.
    pub fn stack(&mut self, with: u32, without: u32, packets: u32) -> f64 {
        self.place_peer(Peer::Pass);
        let [with, without] = [with, without].map(|interface| {
            self.context[12..16].copy_from_slice(&interface.to_ne_bytes());
            self.run(TestRunAttrs::new().xdp_live_frames(64), packets)
        });
        with - without
    }

    /// Sends so many packets of the trace out by the interface, `between` nanoseconds after each other; with 0, as fast as it can. One call:
    /// to begin takes the kernel some 30 ms.
    pub fn transmit(&mut self, packets: u32, between: u64) {
        self.place_peer(Peer::Transmit);
        let mut pace: Array<_, [u64; 2]> = self
            .ebpf
            .map_mut("PACE")
            .and_then(|map| map.try_into().ok())
            .expect("an array");
        pace.set(0, [0, between], 0).expect("its element");
        self.run(TestRunAttrs::new().xdp_live_frames(64), packets);
    }

    fn place_peer(&mut self, peer: Peer) {
        let program = self.program(peer.name());
        if program.fd().is_err() {
            program.load().expect("the verifier accepts it");
        }
        let fd = program.fd().expect("a loaded program");
        let fd = fd.try_clone().expect("a descriptor");
        self.place(&fd);
    }

    fn place(&mut self, subject: &ProgramFd) {
        let mut tail: ProgramArray<_> = self
            .ebpf
            .map_mut("SUBJECT")
            .and_then(|map| map.try_into().ok())
            .expect("a program array");
        tail.set(0, subject, 0).expect("a program of the same kind");
    }

    fn runs(&self) -> u32 {
        LEAST_RUNS.div_ceil(self.frames) * self.frames
    }

    fn run(&mut self, attrs: TestRunAttrs, repeat: u32) -> f64 {
        let data = [0; DATA_BYTES as usize];
        let context = self.context;
        let mut options = TestRunOptions::new();
        options.data_in = Some(&data);
        options.ctx_in = Some(&context);
        options.repeat = repeat;
        options.attrs = attrs;
        // The kernel tells whole nanoseconds a run. A clock around the call would measure how long it waits for the program's
        // dispatcher to be patched, too: a tick or two.
        let result = self.program("replay").test_run(options).expect("a test run");
        result.duration.as_secs_f64() * 1e9
    }

    fn program(&mut self, name: &str) -> &mut Xdp {
        let program = self.ebpf.program_mut(name).expect("the program is in the object");
        program.try_into().expect("an XDP program")
    }
}

/// Fills the kernel's tries.
fn fill(ebpf: &mut Ebpf, prefixes: &[IpNet]) {
    let [four, six] = ebpf.maps_disjoint_mut(["PREFIXES4", "PREFIXES6"]);
    let mut four: LpmTrie<_, [u8; 4], u32> = four.and_then(|map| map.try_into().ok()).expect("a trie");
    let mut six: LpmTrie<_, [u8; 16], u32> = six.and_then(|map| map.try_into().ok()).expect("a trie");
    for prefix in prefixes {
        let length = u32::from(prefix.prefix_len());
        match prefix {
            IpNet::V4(prefix) => four.insert(&Key::new(length, prefix.network().octets()), 1, 0),
            IpNet::V6(prefix) => six.insert(&Key::new(length, prefix.network().octets()), 1, 0),
        }
        .expect("room for a prefix");
    }
}

/// The programs that measure, and those that others are measured against.
pub(crate) static OBJECT: &[u8] = include_bytes_aligned!(env!("RAVELIN_REPLAY_OBJECT_PATH"));

/// Bytes of a frame of the trace; the same number stands in the program.
const FRAME_BYTES: usize = 80;
/// Bytes of the frame that is written over: a minimal one with room for IPv6.
const DATA_BYTES: u32 = 96;
/// Runs of one measurement, at least: some 5 ms.
const LEAST_RUNS: u32 = 60_000;
const MEASUREMENTS: u32 = 5;
