//! The compiled tables and the real program of their direction in the real kernel, one packet at a time, by `BPF_PROG_TEST_RUN`.
//!
//! Image → **`Kernel`** → `Decision`. Verdict, reason, rule and classes are read from the counters that the run moved, and
//! the program's action must follow from them, so every run proves the counters too.

mod memory;
mod pins;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::maps::{Array, MapData, PerCpuArray};
use aya::programs::{Program, ProgramFd, SchedClassifier, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use ravelin_daemon::network::bans::never::{self, NEVER_BAN, NEVER_BAN_LENGTHS, Never};
use ravelin_daemon::network::hash_table;
use ravelin_daemon::network::load::{INBOUND, OBJECT, OUTBOUND};
use ravelin_daemon::network::shared;
use ravelin_daemon::network::tables::{self, TableMap};
use ravelin_datapath::wire::{
    CLASS_COUNTERS, Counter, FlowTables, LimitTables, REASON_COUNTERS, Setting, Settings, class_counter,
    reason_counter,
};
use ravelin_datapath::{ClassSet, Decision, Direction, ParseClass, Reason, Verdict};
use ravelin_rules::TableImage;

use crate::netns::{End, Namespace, veth};

pub use memory::{FLOWS, FlowMemory};
pub use pins::TestPins;

/// The number of the interface that test runs name, inside [`Bench::run`].
#[must_use]
#[track_caller]
pub fn interface() -> u32 {
    nix::net::if_::if_nametoindex(DEVICE).expect("asked inside `Bench::run`")
}

/// Two namespaces with an interface that is not the loopback: test runs name it as the one the packet came in on.
pub struct Bench {
    inside: Namespace,
    _peer: Namespace,
}

/// One loaded generation.
pub struct Kernel {
    ebpf: Ebpf,
    direction: Direction,
    rules: u32,
    interface: u32,
    observing: Vec<u32>,
    /// Kept, because they can be written while the programs run.
    tables: Vec<TableMap>,
    enforce: bool,
    counted: Counted,
    /// What the last frame became, when it was sent back.
    answer: Option<Vec<u8>>,
}

/// Packets counted so far, summed over all CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counted {
    reasons: Vec<Counter>,
    classes: Vec<Counter>,
    rules: Vec<Counter>,
}

impl Bench {
    /// Makes the namespaces; `test` names them.
    #[must_use]
    #[track_caller]
    pub fn new(test: &str) -> Self {
        let (inside, peer) = (Namespace::new(test, "bench"), Namespace::new(test, "peer"));
        for interface in DEVICES {
            let end = |namespace| End {
                namespace,
                interface,
                addresses: &[],
            };
            veth(end(&inside), end(&peer));
        }
        Self { inside, _peer: peer }
    }

    /// Runs `work` where the kernel finds the interface. Everything a [`Kernel`] does must happen in here.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.inside.run(work)
    }
}

impl Kernel {
    /// Loads the program of the tables' direction with them. Fails with the verifier's log.
    #[must_use]
    #[track_caller]
    pub fn load(image: &TableImage) -> Self {
        Self::observing(image, Vec::new())
    }

    /// As [`Self::load`]; the rules of these indices observe, so their counters move beside that of the rule that decides.
    #[must_use]
    #[track_caller]
    pub fn observing(image: &TableImage, observing: Vec<u32>) -> Self {
        Self::new(&[image], observing, None, None)
    }

    /// Loads both programs, with the flows that stand in `memory`, a clock that is told, and the maps of bans pinned.
    #[must_use]
    #[track_caller]
    pub fn both(images: [&TableImage; 2], memory: &FlowMemory, pins: &TestPins, never: &Never) -> Self {
        Self::new(&images, Vec::new(), Some(memory), Some((pins, never)))
    }

    /// As [`Self::observing`], with the maps of bans pinned, as a daemon would have them.
    #[must_use]
    #[track_caller]
    pub fn pinned(image: &TableImage, observing: Vec<u32>, pins: &TestPins, never: &Never) -> Self {
        Self::new(&[image], observing, None, Some((pins, never)))
    }

    #[track_caller]
    fn new(
        images: &[&TableImage],
        observing: Vec<u32>,
        memory: Option<&FlowMemory>,
        bans: Option<(&TestPins, &Never)>,
    ) -> Self {
        let interface =
            nix::net::if_::if_nametoindex(DEVICE).expect("a kernel is loaded inside `Bench::run`");
        let rules = u32::try_from(images[0].rule_names().len()).expect("a bounded number of rules");
        let slots: Vec<u32> = (0..rules).collect();
        let mut sides: Vec<(Direction, TableMap, PathBuf)> = images
            .iter()
            .map(|image| {
                let direction = direction(image);
                let tables = TableMap::create(direction, image).expect("room for the tables");
                (direction, tables, pin_path())
            })
            .collect();
        let never = bans.map(|(_, never)| never.keys()).unwrap_or_default();
        let lengths = never::lengths(&never);
        let mut loader = EbpfLoader::new();
        loader
            .override_global(NEVER_BAN_LENGTHS, &lengths[..], true)
            .map_max_entries(NEVER_BAN, u32::try_from(never.len().max(1)).expect("few"));
        if let Some((pins, _)) = bans {
            for name in [shared::BANS, shared::BAN_FILTER, shared::BAN_REASONS] {
                loader.map_pin_path(name, pins.pins().map(name));
            }
        }
        let mut pins = Vec::new();
        for (image, (direction, tables, path)) in images.iter().zip(&sides) {
            pins.push(tables.pin(path).expect("the bpf file system is mounted"));
            loader
                .override_global(Settings::global(*direction), &image.settings().0[..], true)
                .map_pin_path(tables::name(*direction), path.as_path());
        }
        let mut tables = Vec::new();
        if let Some(memory) = memory {
            tables.extend(memory.tables());
            for name in [shared::FRAGMENTS, shared::HASH_SECRET] {
                loader.map_pin_path(name, memory.folder.join(name));
            }
            for (name, _) in &tables {
                loader.map_pin_path(name, memory.folder.join(name));
            }
        }
        let masks: Vec<(String, u32)> = tables
            .iter()
            .map(|(name, lines)| (format!("{name}_MASK"), lines - 1))
            .collect();
        for ((name, lines), (mask, lines_less_one)) in tables.iter().zip(&masks) {
            loader
                .map_max_entries(name, *lines)
                .override_global(mask, lines_less_one, true);
        }
        loader.map_max_entries(shared::FRAGMENTS, memory.map_or(1, |memory| memory.room));
        if memory.is_none() {
            // Of programs that keep no flows, or that no packet comes to.
            for name in shared::WITH_FLOWS.iter().chain(&shared::WITH_LIMITS) {
                if !name.ends_with("COUNTERS") {
                    loader.map_max_entries(name, 1);
                }
            }
        }
        let sources = shared::SOURCES_KNOWN;
        match memory {
            Some(memory) => loader
                .map_max_entries(sources, memory.room)
                .map_pin_path(sources, memory.folder.join(sources)),
            None => loader.map_max_entries(sources, 1),
        };
        loader.map_max_entries(shared::LIMIT_NUMBERS, 1);
        let mut ebpf = loader
            .load(OBJECT)
            .unwrap_or_else(|error| panic!("cannot load the object: {error:?}"));
        drop(pins);
        hash_table::draw_secret(&mut ebpf).expect("its element");
        let map = ebpf.map_mut(NEVER_BAN).expect("the map is in the object");
        never::fill(&mut map.try_into().expect("a hash map"), &never).expect("room for them");
        for (image, (direction, tables, _)) in images.iter().zip(&mut sides) {
            tables.write(image, &slots, 0);
            match direction {
                Direction::Inbound => xdp(&mut ebpf).load(),
                Direction::Outbound => classifier(&mut ebpf).load(),
            }
            .unwrap_or_else(|error| panic!("the verifier refuses the program: {error}"));
        }
        let image = images[0];
        let direction = direction(image);
        let mut kernel = Self {
            ebpf,
            direction,
            rules,
            interface,
            observing,
            tables: sides.into_iter().map(|(_, tables, _)| tables).collect(),
            enforce: image.settings().of(Setting::Enforce) != 0,
            counted: Counted {
                reasons: vec![],
                classes: vec![],
                rules: vec![],
            },
            answer: None,
        };
        kernel.counted = kernel.count();
        kernel
    }

    /// From now on frames go this way, at that moment of the flow clock.
    pub fn turn(&mut self, direction: Direction, tick: u64) {
        self.direction = direction;
        let map = self.ebpf.map_mut(FLOW_CLOCK).expect("the map is in the object");
        let mut clock: Array<_, u64> = map.try_into().expect("an array of one number");
        clock.set(0, tick, 0).expect("its element");
    }

    /// Writes the tables anew, as of another epoch.
    pub fn rewrite(&mut self, images: &[TableImage; 2], epoch: u32) {
        let slots: Vec<u32> = (0..self.rules).collect();
        for (tables, image) in self.tables.iter_mut().zip(images) {
            tables.write(image, &slots, epoch);
        }
    }

    /// What became of flows: how often each of [`FlowTables::ALL`].
    ///
    /// # Panics
    /// When the counters cannot be read.
    #[must_use]
    pub fn flow_events(&self) -> [u64; FlowTables::ALL.len()] {
        self.events(shared::FLOW_COUNTERS, FlowTables::ALL.map(|event| event as u32))
    }

    /// What came to pass in the tables of buckets: how often each of [`LimitTables::ALL`].
    ///
    /// # Panics
    /// When the counters cannot be read.
    #[must_use]
    pub fn limit_events(&self) -> [u64; LimitTables::ALL.len()] {
        self.events(shared::LIMIT_COUNTERS, LimitTables::ALL.map(|event| event as u32))
    }

    #[track_caller]
    fn events<const N: usize>(&self, name: &str, events: [u32; N]) -> [u64; N] {
        let map = self.ebpf.map(name).expect("the map is in the object");
        let counters: PerCpuArray<_, u64> = map.try_into().expect("a per-CPU array of numbers");
        events.map(|event| {
            let values = counters.get(&event, 0).expect("its element");
            values.iter().sum()
        })
    }

    /// What the last frame became, when the program sent something back in its place.
    #[must_use]
    pub fn answer(&self) -> Option<&[u8]> {
        self.answer.as_deref()
    }

    /// Judges one frame and reads every counter.
    #[track_caller]
    pub fn decide(&mut self, frame: &[u8], loopback: bool) -> Decision {
        let interface = if loopback { LOOPBACK } else { self.interface };
        self.decide_on(frame, interface)
    }

    /// Has the inbound program judge one frame so many times, whatever it says; several threads may at once.
    ///
    /// # Panics
    /// When the kernel does not run it.
    #[track_caller]
    pub fn run_often(&self, frame: &[u8], interface: u32, times: u32) {
        let context = context(Direction::Inbound, frame, interface);
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.ctx_in = Some(&context);
        options.repeat = times;
        let program = self.ebpf.program(INBOUND).expect("it is in the object");
        let program: &Xdp = program.try_into().expect("an XDP program");
        program
            .test_run(options)
            .unwrap_or_else(|error| panic!("test run: {error}"));
    }

    /// Packets that were judged so, inbound, since the maps were made.
    #[must_use]
    pub fn reason_packets(&self, reason: Reason, verdict: Verdict) -> u64 {
        self.counter(
            "REASON_COUNTERS",
            reason_counter(Direction::Inbound, reason, verdict),
        )[0]
    }

    /// As [`Self::decide`], on the interface of that number.
    #[track_caller]
    pub fn decide_on(&mut self, frame: &[u8], interface: u32) -> Decision {
        let action = self.act(frame, interface);
        let before = std::mem::replace(
            &mut self.counted,
            Counted {
                reasons: vec![],
                classes: vec![],
                rules: vec![],
            },
        );
        let after = self.count();
        let moved = |before: &[Counter], after: &[Counter]| -> Vec<usize> {
            let bytes = frame.len() as u64;
            let pairs = before
                .iter()
                .zip(after)
                .enumerate()
                .filter(|(_, (before, after))| before != after);
            pairs
                .map(|(index, (before, after))| {
                    assert_eq!(
                        [before[0] + 1, before[1] + bytes],
                        *after,
                        "counter {index} must move by one packet of {bytes} bytes"
                    );
                    index
                })
                .collect()
        };
        let reasons = moved(&before.reasons, &after.reasons);
        let rules = moved(&before.rules, &after.rules);
        let classes = moved(&before.classes, &after.classes);
        self.counted = after;

        let [counter] = reasons[..] else {
            panic!("one reason must be counted, not {reasons:?}")
        };
        let mut judged = Reason::ALL
            .iter()
            .flat_map(|reason| [Verdict::Allow, Verdict::Deny].map(|verdict| (*reason, verdict)));
        let (reason, verdict) = judged
            .find(|(reason, verdict)| reason_counter(self.direction, *reason, *verdict) as usize == counter)
            .expect("a counter of this direction");
        // In observe mode a packet that is counted as denied passes.
        let must_be = if self.enforce { verdict } else { Verdict::Allow };
        assert_eq!(
            action, must_be,
            "the program's action follows the counted verdict"
        );
        assert_eq!(
            self.answer.is_some(),
            reason == Reason::SynCookie && self.enforce,
            "the program sends back what is counted as answered, and nothing else"
        );
        let mut rule = None;
        let mut observed = None;
        for index in rules {
            let index = u32::try_from(index).expect("a rule's index");
            let found = if self.observing.contains(&index) {
                &mut observed
            } else {
                &mut rule
            };
            assert!(
                found.replace(index).is_none(),
                "two rules of one kind were counted"
            );
        }
        let seen = classes.iter().fold(ClassSet::default(), |seen, counter| {
            let mut all = ParseClass::ALL.iter();
            let class = all.find(|class| class_counter(self.direction, **class) as usize == *counter);
            seen.with(*class.expect("a counter of this direction"))
        });
        Decision {
            verdict,
            reason,
            rule,
            observed,
            seen,
        }
    }

    /// Judges one frame and reads only the counters that `expected` says must move: for long traces.
    ///
    /// # Errors
    /// What it said otherwise.
    pub fn confirm(&mut self, frame: &[u8], expected: &Decision) -> Result<(), String> {
        let reason = reason_counter(self.direction, expected.reason, expected.verdict);
        let counted = |kernel: &Self| {
            (
                kernel.counter("REASON_COUNTERS", reason),
                expected.rule.map(|rule| kernel.counter("RULE_COUNTERS", rule)),
            )
        };
        let before = counted(self);
        let verdict = self.act(frame, self.interface);
        let after = counted(self);
        let next = |[packets, bytes]: Counter| [packets + 1, bytes + frame.len() as u64];
        let must_be = (next(before.0), before.1.map(next));
        let answers = expected.reason == Reason::SynCookie;
        if (verdict, after, self.answer.is_some()) == (expected.verdict, must_be, answers) {
            return Ok(());
        }
        Err(format!(
            "the kernel says {verdict:?} and counts {before:?}, {after:?}, where {expected:?} is expected"
        ))
    }

    /// The program's descriptor, for a harness that calls it.
    #[must_use]
    pub fn fd(&mut self) -> &ProgramFd {
        self.loaded().fd().expect("a loaded program")
    }

    /// The program for packets that come in, for a harness that runs it.
    #[must_use]
    pub fn program(&mut self) -> &mut Xdp {
        xdp(&mut self.ebpf)
    }

    /// Bytes of machine code that the program became.
    #[must_use]
    pub fn jited_bytes(&mut self) -> u32 {
        self.loaded().info().expect("a loaded program").size_jitted()
    }

    /// Instructions that the verifier walked to accept the program.
    #[must_use]
    pub fn verified_instructions(&mut self) -> u32 {
        self.loaded()
            .info()
            .expect("a loaded program")
            .verified_instruction_count()
            .unwrap_or(0)
    }

    fn loaded(&self) -> &Program {
        let name = match self.direction {
            Direction::Inbound => INBOUND,
            Direction::Outbound => OUTBOUND,
        };
        self.ebpf.program(name).expect("the program is in the object")
    }

    /// What the program did with the frame.
    fn act(&mut self, frame: &[u8], interface: u32) -> Verdict {
        let context = context(self.direction, frame, interface);
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.ctx_in = Some(&context);
        let mut out = vec![0; frame.len()];
        options.data_out = Some(&mut out);
        let result = match self.direction {
            Direction::Inbound => xdp(&mut self.ebpf).test_run(options),
            Direction::Outbound => classifier(&mut self.ebpf).test_run(options),
        };
        let result = result.unwrap_or_else(|error| panic!("test run of {frame:02x?}: {error}"));
        self.answer = None;
        if (self.direction, result.return_value) == (Direction::Inbound, XDP_TX) {
            out.truncate(usize::try_from(result.data_size_out).expect("no longer than the frame"));
            self.answer = Some(out);
            return Verdict::Deny;
        }
        // XDP_PASS and XDP_DROP; TCX_NEXT, which is -1, and TC_ACT_SHOT.
        match (self.direction, result.return_value) {
            (Direction::Inbound, 2) | (Direction::Outbound, u32::MAX) => Verdict::Allow,
            (Direction::Inbound, 1) | (Direction::Outbound, 2) => Verdict::Deny,
            (_, action) => panic!("the {} program returned {action}", self.direction.word()),
        }
    }

    fn count(&self) -> Counted {
        let all = |map: &str, length: u32| -> Vec<Counter> {
            let counters = self.counters(map);
            (0..length).map(|index| sum(&counters, index)).collect()
        };
        Counted {
            reasons: all("REASON_COUNTERS", REASON_COUNTERS),
            classes: all("CLASS_COUNTERS", CLASS_COUNTERS),
            rules: all("RULE_COUNTERS", self.rules),
        }
    }

    fn counter(&self, map: &str, index: u32) -> Counter {
        sum(&self.counters(map), index)
    }

    fn counters(&self, map: &str) -> PerCpuArray<&MapData, Counter> {
        self.ebpf
            .map(map)
            .expect("the map is in the object")
            .try_into()
            .expect("a per-CPU array of counters")
    }
}

/// The direction whose packets these tables judge.
fn direction(image: &TableImage) -> Direction {
    match image.settings().of(Setting::Outbound) {
        0 => Direction::Inbound,
        _ => Direction::Outbound,
    }
}

/// A path of the bpf file system that nobody else has.
fn pin_path() -> PathBuf {
    PathBuf::from(format!(
        "/sys/fs/bpf/ravelin-{}-{}",
        std::process::id(),
        LOADS.fetch_add(1, Ordering::Relaxed)
    ))
}

/// The beginning of `struct xdp_md`: the frame's end, and the interface it came in on. Of `struct __sk_buff`: the interface that
/// it goes out on.
fn context(direction: Direction, frame: &[u8], interface: u32) -> Vec<u8> {
    let end = u32::try_from(frame.len()).expect("a frame's length");
    let words = match direction {
        Direction::Inbound => vec![0, end, 0, interface, 0, 0],
        Direction::Outbound => vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, interface],
    };
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn sum(counters: &PerCpuArray<&MapData, Counter>, index: u32) -> Counter {
    let values = counters
        .get(&index, 0)
        .unwrap_or_else(|error| panic!("counter {index}: {error}"));
    values.iter().fold([0, 0], |[packets, bytes], value| {
        [packets + value[0], bytes + value[1]]
    })
}

fn xdp(ebpf: &mut Ebpf) -> &mut Xdp {
    let program = ebpf.program_mut(INBOUND).expect("the program is in the object");
    program.try_into().expect("an XDP program")
}

fn classifier(ebpf: &mut Ebpf) -> &mut SchedClassifier {
    let program = ebpf.program_mut(OUTBOUND).expect("the program is in the object");
    program.try_into().expect("a classifier")
}

/// Table maps pinned so far, each at a path of its own.
static LOADS: AtomicU32 = AtomicU32::new(0);

const DEVICE: &str = "v0";

/// More of them than a random policy filters, so that one is none of its own.
const DEVICES: [&str; 4] = [DEVICE, "v1", "v2", "v3"];

/// The numbers of the bench's interfaces.
#[must_use]
pub fn interfaces() -> Vec<u32> {
    let number = |name: &&str| nix::net::if_::if_nametoindex(*name).expect("asked inside `Bench::run`");
    DEVICES.iter().map(number).collect()
}

const LOOPBACK: u32 = 1;

/// The frame leaves where it came in.
const XDP_TX: u32 = 3;

/// Where the programs read the time of flows, when they are told it.
const FLOW_CLOCK: &str = "FLOW_CLOCK";
