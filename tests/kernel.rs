//! The law that holds Ravelin together, in the kernel: the oracle and the loaded program say the same of every packet,
//! and the counters say so too.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use nix::time::{ClockId, clock_gettime};
use ravelin_daemon::network::bans::never::Never;
use ravelin_datapath::wire::{MAX_ROWS, MAX_ROWS_WITH_NEXT};
use ravelin_datapath::{Decision, Origin, ParseClass};
use ravelin_rules::policy::{Clock, Mode};
use ravelin_rules::{Budget, CompileError, Direction, HostFacts, Policy, Strategy, TableImage, reference};
use ravelin_tests::fixture;
use ravelin_tests::prog_run::{self, Bench, FlowMemory, Kernel, TestPins};
use ravelin_tests::random::{self, Difference, NOW, Probe, Sketch, Spread};
use ravelin_tests::requires;

#[test]
fn the_oracle_and_the_kernel_agree_on_random_policies_and_packets() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("kernel-random");
    let seed = random::seed();
    let spread = bench.run(|| {
        let mut spread = Spread::default();
        let numbers = prog_run::interfaces();
        for (number, case) in random::cases(seed, POLICIES, PACKETS_PER_POLICY).enumerate() {
            let budget = BUDGETS[number % BUDGETS.len()];
            // Whole seconds end things: half a second past one, nothing ends while the packets of a case run.
            let since = [500, 1_500, 4_500, 60_500, 2_000_000_500][number % 5] * 1_000_000;
            spread.count_policy(&case.sketch);
            for direction in Direction::ALL {
                let world = World::of(&case.sketch, direction, budget, since, &numbers);
                let mut kernel = world.kernel();
                let probes = case.probes.iter().filter(|probe| probe.direction == direction);
                for probe in probes.filter(|probe| fixture::fits_a_test_run(direction, &probe.packet.bytes()))
                {
                    let Some(said) = world.ask(&mut kernel, probe) else {
                        continue;
                    };
                    if said[0] != said[1] {
                        let difference = Difference {
                            seed: case.seed,
                            sketch: case.sketch.clone(),
                            probe: probe.clone(),
                            said: [("oracle", said[0]), ("kernel", said[1])],
                        };
                        let small = difference.shrink(|sketch, probe| {
                            let world = World::of(sketch, direction, budget, since, &numbers);
                            world.ask(&mut world.kernel(), probe)
                        });
                        panic!("{budget:?}, {since} ns after the compilation\n{small}");
                    }
                    spread.count(&said[0]);
                    spread.count_features(&case.sketch, &world.policy, &said[0]);
                }
            }
        }
        spread
    });
    println!(
        "seed {seed}: {} pairs in the kernel, 0 differences\n{spread}",
        spread.pairs()
    );
    println!("{}", spread.coverage());
    assert!(spread.pairs() >= 5_000);
}

#[test]
fn the_kernel_decides_as_every_fixture_row_says() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("kernel-rows");
    let rows = fixture::all();
    let (run, short): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.fits_a_test_run());
    bench.run(|| {
        // Rows of one policy stand together: one generation serves them.
        for rows in run.chunk_by(|a, b| {
            Arc::ptr_eq(a.policy(), b.policy()) && a.host() == b.host() && a.direction == b.direction
        }) {
            let row = rows[0];
            let image = TableImage::compile(row.policy(), &row.host(), row.direction)
                .unwrap_or_else(|error| panic!("{}: {}: {error}", row.file, row.description));
            let mut kernel = Kernel::load(&image);
            for row in rows {
                row.assert("the kernel", &kernel.decide(&row.frame(), row.loopback));
            }
        }
    });
    println!(
        "{} rows in the kernel; {} with a frame too short or too long for it",
        run.len(),
        short.len()
    );
    assert!(
        run.len() > 20 * short.len(),
        "nearly every row must run in the kernel"
    );
}

#[test]
fn the_richest_policies_leave_the_verifier_much_of_its_budget() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("kernel-rich");
    let cases = [
        ("", MAX_ROWS, false, 500_000),
        (NEXT, MAX_ROWS_WITH_NEXT, false, 500_000),
        ("", MAX_ROWS / 2, true, 900_000),
        (COOKIES, MAX_ROWS / 2, true, 900_000),
    ];
    for (more, rows, stateful, budget) in cases {
        for direction in Direction::ALL {
            let (rules, image) = richest(more, rows, direction, stateful);
            let image = image.unwrap_or_else(|error| panic!("{error}"));
            let walked = bench.run(|| {
                if !stateful {
                    return Kernel::load(&image).verified_instructions();
                }
                // A flow of the other direction is judged again by the tables of that: the richest too.
                let other = match direction {
                    Direction::Inbound => Direction::Outbound,
                    Direction::Outbound => Direction::Inbound,
                };
                let (_, other) = richest(more, rows, other, stateful);
                let other = other.unwrap_or_else(|error| panic!("{error}"));
                let (memory, pins) = (FlowMemory::new(), TestPins::new());
                Kernel::both([&image, &other], &memory, &pins, &Never::default()).verified_instructions()
            });
            println!(
                "{}{}{}, {rules} rules, {} MiB of tables: {walked} instructions walked",
                direction.word(),
                if stateful { ", stateful" } else { "" },
                if more == COOKIES { ", cookies" } else { "" },
                image.report().bytes >> 20
            );
            assert!(walked < budget, "the verifier gives up at a million");
        }
    }
    for (more, rows) in [("", MAX_ROWS + 1), (NEXT, MAX_ROWS_WITH_NEXT + 1)] {
        let (_, image) = richest(more, rows, Direction::Inbound, false);
        let refused = image.expect_err("more than the vectors hold").to_string();
        assert!(refused.contains(&format!("{} rules", rows)), "{refused}");
    }
}

/// Every dimension used, both families, tries of full depth, the longest bit vectors; interfaces, zones, moments, rules that observe, limits, and
/// a budget of SYNs.
fn richest(
    more: &str,
    rows: u32,
    direction: Direction,
    stateful: bool,
) -> (usize, Result<TableImage, CompileError>) {
    let way = direction.word();
    let more = more.replace("direction = \"\"", &format!("direction = \"{way}\""));
    let mut text = format!(
        "[host]\nvpc = \"prod\"\n[[vpc]]\nname = \"prod\"\ncidrs = [\"10.1.0.0/16\", \"2001:db8:a::/48\"]\n[[vpc]]\nname = \"test\"\ncidrs = [\"10.2.0.0/16\"]\n\
         {more}[flood]\nsyn_budget = {{ rate = \"1k/s\" }}\n[firewall]\nstateful = {stateful}\ninterfaces = [{{ name = \"eth0\", vpc = \"prod\" }}, \"eth1\"]\n[firewall.classes]\n",
    );
    for class in ParseClass::ALL
        .iter()
        .filter(|class| class.judgeable() && **class != ParseClass::FragmentLater)
    {
        text += &format!("{} = \"judge\"\n", class.label());
    }
    for rule in 0..rows - u32::from(!more.is_empty()) {
        text += &format!(
            "[[rule]]\nname = \"r{rule}\"\ndirection = \"{way}\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = {}\nsource_ports = {}\ntcp_flags = \"syn\"\n\
             source = [\"2001:db8::{:x}:{:x}\", \"198.51.{}.{}\"]\ndestination = [\"2001:db8:1::{rule:x}\", \"203.0.{}.{}\"]\n",
            rule % 60_000,
            rule % 1000,
            rule >> 4,
            rule % 16,
            rule >> 8,
            rule & 255,
            rule & 255,
            rule >> 8,
        );
        match rule % 64 {
            1 => text += "mode = \"observe\"\n",
            2 => text += &format!("expires = 2099-01-01T00:{:02}:00Z\n", rule / 64 % 60),
            3 => text += "interface = \"eth1\"\n",
            4 => {
                let what = if stateful { "new_flows" } else { "packets" };
                let per = match direction {
                    Direction::Inbound => "source",
                    Direction::Outbound => "rule",
                };
                text += &format!("limit = {{ {what} = \"{}/s\", per = \"{per}\" }}\n", rule + 1);
            }
            _ => {}
        }
    }
    let policy = ravelin_rules::load_text(&text)
        .unwrap_or_else(|report| panic!("{}", report.render()))
        .policy;
    let host = HostFacts::assumed(&policy, &["10.1.0.9".parse().expect("an address")]);
    let image = TableImage::compile_within(
        &policy,
        &host,
        direction,
        Budget {
            ranges: true,
            ..BIT_VECTORS
        },
    );
    (policy.rules.len(), image)
}

/// A listener whose SYNs are answered.
const COOKIES: &str = "[[upstream]]\nname = \"app\"\nservers = [\"127.0.0.1:8080\"]\n[[listener]]\nname = \"web\"\nbind = [\"0.0.0.0:443\", \"[::]:443\"]\n\
     syn_proxy = \"auto\"\nroutes = [{ upstream = \"app\" }]\ntls = { certificates = [{ cert = \"a.pem\", key = \"a.key\" }] }\n";

/// One rule that goes on with the next scope.
const NEXT: &str = "[[policy]]\nname = \"global\"\nscope = \"global\"\n[[policy.rule]]\nname = \"on\"\ndirection = \"\"\naction = \"next\"\nsource = \"10.1.0.0/16\"\n";

/// A policy for one direction, compiled so that the kernel's present is a chosen time after the compilation.
struct World {
    policy: Policy,
    host: HostFacts,
    direction: Direction,
    image: TableImage,
    numbers: Vec<u32>,
}

impl World {
    fn of(sketch: &Sketch, direction: Direction, budget: Budget, since: u64, numbers: &[u32]) -> Self {
        let clock = Clock {
            unix: NOW * 1_000_000_000,
            boot: since_boot().saturating_sub(since),
        };
        let host = sketch.host_with(clock, |at| numbers[at]);
        let policy = sketch.policy();
        let image = TableImage::compile_within(&policy, &host, direction, budget)
            .unwrap_or_else(|error| panic!("{error}\n{}", sketch.toml()));
        Self {
            policy,
            host,
            direction,
            image,
            numbers: numbers.to_vec(),
        }
    }

    fn kernel(&self) -> Kernel {
        let observing = (0..).zip(&self.policy.rules);
        let observing = observing.filter(|(_, rule)| rule.mode == Mode::Observe);
        Kernel::observing(&self.image, observing.map(|(index, _)| index).collect())
    }

    /// What the oracle and the kernel say; `None` when something ended in between.
    fn ask(&self, kernel: &mut Kernel, probe: &Probe) -> Option<[Decision; 2]> {
        let bytes = probe.packet.bytes();
        let filtered = self.host.interfaces.len();
        let interface = match probe.loopback {
            true => 1,
            // One behind the filtered ones is there for all others.
            false => self.numbers[probe.interface.min(filtered)],
        };
        let oracle = || {
            let origin = Origin {
                loopback: probe.loopback,
                interface,
                now: since_boot(),
                ..Origin::default()
            };
            reference::judge(&self.policy, &self.host, self.direction, origin, &bytes)
        };
        let before = oracle();
        let said = kernel.decide_on(&bytes, interface);
        (oracle() == before).then_some([before, said])
    }
}

/// Nanoseconds since boot, as the program reads them.
fn since_boot() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("a clock");
    let seconds = u64::try_from(time.tv_sec()).expect("after the boot");
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).expect("nanoseconds")
}

/// No cell for cross products: both ways to combine classes must obey the law.
const BIT_VECTORS: Budget = within(Strategy::BitVectors);

/// Every way to combine classes, by turns.
const BUDGETS: [Budget; 4] = [
    within(Strategy::Any),
    Budget {
        ranges: true,
        ..BIT_VECTORS
    },
    within(Strategy::CrossProduct(0)),
    within(Strategy::CrossProduct(2)),
];

const fn within(strategy: Strategy) -> Budget {
    Budget {
        bytes: 512 << 20,
        strategy,
        ranges: false,
    }
}
const POLICIES: usize = 100;
const PACKETS_PER_POLICY: usize = 56;
