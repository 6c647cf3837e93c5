//! The compiled tables and the real XDP program in the real kernel, one packet at a time, by `BPF_PROG_TEST_RUN`.
//!
//! Image → **`Kernel`** → `Decision`. Verdict, reason, rule and classes are read from the counters that the run moved, and
//! the program's action must follow from them, so every run proves the counters too.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::maps::{MapData, PerCpuArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use ravelin_daemon::network::bans::never::{self, NEVER_BAN, NEVER_BAN_LENGTHS, Never};
use ravelin_daemon::network::load::{OBJECT, PROGRAM};
use ravelin_daemon::network::pins::PinDir;
use ravelin_daemon::network::shared;
use ravelin_daemon::network::tables::{TABLES, TableMap};
use ravelin_datapath::wire::{CLASS_COUNTERS, Counter, REASON_COUNTERS, Setting, Settings, reason_counter};
use ravelin_datapath::{ClassSet, Decision, ParseClass, Reason, Verdict};
use ravelin_rules::TableImage;

use crate::netns::{End, Namespace, veth};

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

/// A pin folder for tests without a daemon; gone when dropped.
#[derive(Debug)]
pub struct TestPins(Option<PinDir>);

impl TestPins {
    /// A fresh folder.
    #[must_use]
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it does something to the machine")]
    pub fn new() -> Self {
        let number = LOADS.fetch_add(1, Ordering::Relaxed);
        let path = format!("/sys/fs/bpf/ravelin-pins-{}-{number}", std::process::id());
        let pins = PinDir::open(path.as_ref()).expect("the bpf file system is mounted");
        Self(Some(pins))
    }

    /// The folder.
    #[must_use]
    pub fn pins(&self) -> &PinDir {
        self.0.as_ref().expect("not dropped")
    }
}

impl Drop for TestPins {
    fn drop(&mut self) {
        let _best_effort = self.0.take().map(PinDir::remove);
    }
}

/// One loaded generation.
pub struct Kernel {
    ebpf: Ebpf,
    rules: u32,
    interface: u32,
    observing: Vec<u32>,
    enforce: bool,
    counted: Counted,
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
    /// Loads the program with these tables. Fails with the verifier's log.
    #[must_use]
    #[track_caller]
    pub fn load(image: &TableImage) -> Self {
        Self::observing(image, Vec::new())
    }

    /// As [`Self::load`]; the rules of these indices observe, so their counters move beside that of the rule that decides.
    #[must_use]
    #[track_caller]
    pub fn observing(image: &TableImage, observing: Vec<u32>) -> Self {
        Self::build(image, observing, None)
    }

    /// As [`Self::observing`], with the maps of bans pinned, as a daemon would have them.
    #[must_use]
    #[track_caller]
    pub fn pinned(image: &TableImage, observing: Vec<u32>, pins: &TestPins, never: &Never) -> Self {
        Self::build(image, observing, Some((pins, never)))
    }

    #[track_caller]
    fn build(image: &TableImage, observing: Vec<u32>, bans: Option<(&TestPins, &Never)>) -> Self {
        let interface =
            nix::net::if_::if_nametoindex(DEVICE).expect("a kernel is loaded inside `Bench::run`");
        let rules = u32::try_from(image.rule_names().len()).expect("a bounded number of rules");
        let slots: Vec<u32> = (0..rules).collect();
        let mut tables = TableMap::create(image).expect("room for the tables");
        let path = PathBuf::from(format!(
            "/sys/fs/bpf/ravelin-{}-{}",
            std::process::id(),
            LOADS.fetch_add(1, Ordering::Relaxed)
        ));
        let pin = tables.pin(&path).expect("the bpf file system is mounted");
        let never = bans.map(|(_, never)| never.keys()).unwrap_or_default();
        let lengths = never::lengths(&never);
        let mut loader = EbpfLoader::new();
        loader
            .override_global(Settings::GLOBAL, &image.settings().0[..], true)
            .override_global(NEVER_BAN_LENGTHS, &lengths[..], true)
            .map_max_entries(NEVER_BAN, u32::try_from(never.len().max(1)).expect("few"))
            .map_pin_path(TABLES, path.as_path());
        if let Some((pins, _)) = bans {
            for name in [shared::BANS, shared::BAN_FILTER, shared::BAN_REASONS] {
                loader.map_pin_path(name, pins.pins().map(name));
            }
        }
        let mut ebpf = loader
            .load(OBJECT)
            .unwrap_or_else(|error| panic!("cannot load the object: {error:?}"));
        drop(pin);
        let map = ebpf.map_mut(NEVER_BAN).expect("the map is in the object");
        never::fill(&mut map.try_into().expect("a hash map"), &never).expect("room for them");
        tables.write(image, &slots);
        program(&mut ebpf)
            .load()
            .unwrap_or_else(|error| panic!("the verifier refuses the program: {error}"));
        let mut kernel = Self {
            ebpf,
            rules,
            interface,
            observing,
            enforce: image.settings().of(Setting::Enforce) != 0,
            counted: Counted {
                reasons: vec![],
                classes: vec![],
                rules: vec![],
            },
        };
        kernel.counted = kernel.count();
        kernel
    }

    /// Judges one frame and reads every counter.
    #[track_caller]
    pub fn decide(&mut self, frame: &[u8], loopback: bool) -> Decision {
        let interface = if loopback { LOOPBACK } else { self.interface };
        self.decide_on(frame, interface)
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
        let reason = Reason::ALL[counter / 2];
        let verdict = if counter % 2 == 0 {
            Verdict::Allow
        } else {
            Verdict::Deny
        };
        // In observe mode a packet that is counted as denied passes.
        let must_be = if self.enforce { verdict } else { Verdict::Allow };
        assert_eq!(
            action, must_be,
            "the program's action follows the counted verdict"
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
        let seen = classes.iter().fold(ClassSet::default(), |seen, class| {
            seen.with(ParseClass::ALL[*class])
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
    #[track_caller]
    pub fn confirm(&mut self, frame: &[u8], expected: &Decision) {
        let reason = reason_counter(expected.reason, expected.verdict);
        let before = (
            self.counter("REASON_COUNTERS", reason),
            expected.rule.map(|rule| self.counter("RULE_COUNTERS", rule)),
        );
        let verdict = self.act(frame, self.interface);
        let after = (
            self.counter("REASON_COUNTERS", reason),
            expected.rule.map(|rule| self.counter("RULE_COUNTERS", rule)),
        );
        let next = |[packets, bytes]: Counter| [packets + 1, bytes + frame.len() as u64];
        let must_be = (next(before.0), before.1.map(next));
        assert_eq!(
            (verdict, after),
            (expected.verdict, must_be),
            "the kernel decided otherwise than {expected:?}"
        );
    }

    /// The program's descriptor, for a harness that calls it.
    #[must_use]
    pub fn fd(&mut self) -> &ProgramFd {
        program(&mut self.ebpf).fd().expect("a loaded program")
    }

    /// The program itself, for a harness that runs it.
    #[must_use]
    pub fn program(&mut self) -> &mut Xdp {
        program(&mut self.ebpf)
    }

    /// Bytes of machine code that the program became.
    #[must_use]
    pub fn jited_bytes(&mut self) -> u32 {
        program(&mut self.ebpf)
            .info()
            .expect("a loaded program")
            .size_jitted()
    }

    /// Instructions that the verifier walked to accept the program.
    #[must_use]
    pub fn verified_instructions(&mut self) -> u32 {
        program(&mut self.ebpf)
            .info()
            .expect("a loaded program")
            .verified_instruction_count()
            .unwrap_or(0)
    }

    /// What the program did with the frame.
    fn act(&mut self, frame: &[u8], interface: u32) -> Verdict {
        let context = context(frame, interface);
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.ctx_in = Some(&context);
        let result = program(&mut self.ebpf)
            .test_run(options)
            .unwrap_or_else(|error| panic!("test run of {frame:02x?}: {error}"));
        match result.return_value {
            1 => Verdict::Deny,
            2 => Verdict::Allow,
            action => panic!("the program returned XDP action {action}"),
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

/// `struct xdp_md`: the frame's end, and the interface it came in on.
fn context(frame: &[u8], interface: u32) -> [u8; 24] {
    let end = u32::try_from(frame.len()).expect("a frame's length");
    let mut context = [0; 24];
    for (field, word) in context.chunks_exact_mut(4).zip([0, end, 0, interface, 0, 0]) {
        field.copy_from_slice(&word.to_ne_bytes());
    }
    context
}

fn sum(counters: &PerCpuArray<&MapData, Counter>, index: u32) -> Counter {
    let values = counters
        .get(&index, 0)
        .unwrap_or_else(|error| panic!("counter {index}: {error}"));
    values.iter().fold([0, 0], |[packets, bytes], value| {
        [packets + value[0], bytes + value[1]]
    })
}

fn program(ebpf: &mut Ebpf) -> &mut Xdp {
    let program = ebpf.program_mut(PROGRAM).expect("the program is in the object");
    program.try_into().expect("an XDP program")
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
