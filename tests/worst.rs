//! Policies made to blow the tables up: each is compiled within the memory it may have, or refused with the reason, in bounded
//! time; and what is compiled judges as the oracle does.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ravelin_datapath::{Origin, SliceFrame, decide};
use ravelin_rules::{CompileError, Direction, HostFacts, Policy, TableImage, load_text, reference};
use ravelin_tests::packet::ether;
use ravelin_tests::random::{self, Random};

/// How a policy tries.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Half of the rules ask for a source, the other half for a destination: every pair of them is a class.
    Grid,
    /// Prefixes inside prefixes, on both sides.
    Nested,
    /// Port ranges that overlap, of both ports, with any address or one of few.
    Ranges,
    /// Everything at random, wildcards among it.
    Mixed,
    /// Hosts all over the address space.
    Hosts,
}

const ATTACKS: [Attack; 5] = [
    Attack::Grid,
    Attack::Nested,
    Attack::Ranges,
    Attack::Mixed,
    Attack::Hosts,
];

#[test]
fn no_policy_takes_more_memory_or_time_than_it_may() {
    let mut random = Random::new(random::seed() ^ 11);
    let (mut fitted, mut refused, mut over_budget, mut longest) = (0, 0, 0, Duration::ZERO);
    for attack in ATTACKS {
        for (rules, memory) in [(50, 1), (300, 1), (1_000, 4), (3_000, 64), (8_000, 8)] {
            let policy = policy(attack, rules, memory, &mut random);
            let started = Instant::now();
            let compiled = TableImage::compile(&policy, &HostFacts::default(), Direction::Inbound);
            let took = started.elapsed();
            longest = longest.max(took);
            match compiled {
                Ok(image) => {
                    println!(
                        "{attack:?}, {rules} rules, {memory} MiB: {} KiB in {took:.1?}; {}",
                        image.report().bytes >> 10,
                        image.report().families[0].combined
                    );
                    assert!(image.report().bytes as u64 <= policy.firewall.table_memory);
                    judges_as_the_oracle(&policy, &image, &mut random);
                    fitted += 1;
                }
                Err(error) => {
                    println!("{attack:?}, {rules} rules, {memory} MiB: refused in {took:.1?}: {error}");
                    assert!(
                        matches!(
                            error,
                            CompileError::OverBudget { .. } | CompileError::TooLarge { .. }
                        ),
                        "{error:?}"
                    );
                    over_budget += u32::from(matches!(error, CompileError::OverBudget { .. }));
                    assert!(
                        error.to_string().contains("table_memory"),
                        "the reason names the key"
                    );
                    refused += 1;
                }
            }
            assert!(took < MOST_TIME, "{attack:?}, {rules} rules: {took:?}");
        }
    }
    println!("{fitted} fit, {refused} refused, the longest took {longest:.1?}");
    assert!(fitted > 5 && refused > 2, "{fitted} fit, {refused} were refused");
    assert!(over_budget > 0, "some must fail in the combination");
}

fn judges_as_the_oracle(policy: &Policy, image: &TableImage, random: &mut Random) {
    for _ in 0..PACKETS {
        let packet = ether()
            .ipv4()
            .source(address(random).parse::<std::net::Ipv4Addr>().expect("an address"))
            .destination(address(random).parse::<std::net::Ipv4Addr>().expect("an address"))
            .tcp(port(random))
            .with("source-port", port(random).into())
            .bytes();
        let expected = reference::judge(
            policy,
            &HostFacts::default(),
            Direction::Inbound,
            Origin::default(),
            &packet,
        );
        let decided = decide(&SliceFrame(&packet), image, Origin::default());
        assert_eq!(decided, expected, "{packet:02x?}");
    }
}

fn policy(attack: Attack, rules: usize, memory: u64, random: &mut Random) -> Policy {
    let mut text = format!(
        "[firewall]\nstateful = false\ntable_memory = \"{memory}MiB\"\n[firewall.classes]\nspoofed_source = \"judge\"\nland = \"judge\"\n"
    );
    for number in 0..rules {
        let verdict = if random.chance(50) { "allow" } else { "deny" };
        let _ = write!(text, "[[rule]]\nname = \"r{number}\"\naction = \"{verdict}\"\n");
        let _ = match attack {
            Attack::Grid if number % 2 == 0 => writeln!(text, "source = \"{}\"", prefix(random, 24)),
            Attack::Grid => writeln!(text, "destination = \"{}\"", prefix(random, 24)),
            Attack::Nested => {
                let [source, destination] = [(); 2].map(|()| 8 + random.below(25));
                writeln!(
                    text,
                    "source = \"{}\"\ndestination = \"{}\"",
                    nested(random, source),
                    nested(random, destination)
                )
            }
            Attack::Ranges => {
                let [ports, source_ports] = [(); 2].map(|()| {
                    let (a, b) = (port(random), port(random));
                    format!("\"{}-{}\"", a.min(b), a.max(b))
                });
                writeln!(
                    text,
                    "protocol = \"tcp\"\nports = [{ports}]\nsource_ports = [{source_ports}]\nsource = \"{}\"",
                    prefix(random, 6)
                )
            }
            Attack::Mixed => mixed(&mut text, random),
            Attack::Hosts => writeln!(
                text,
                "source = \"{}\"\ndestination = \"{}\"",
                prefix(random, 32),
                prefix(random, 32)
            ),
        };
    }
    load_text(&text)
        .unwrap_or_else(|report| panic!("{}", report.render()))
        .policy
}

fn mixed(text: &mut String, random: &mut Random) -> std::fmt::Result {
    let length = 4 + random.below(29);
    if !random.chance(33) {
        writeln!(text, "source = \"{}\"", prefix(random, length))?;
    }
    if !random.chance(33) {
        writeln!(text, "destination = \"{}\"", prefix(random, 36 - length))?;
    }
    match random.below(3) {
        0 => writeln!(text, "protocol = \"tcp\"\nports = [{}]", port(random)),
        1 => writeln!(text, "protocol = \"udp\""),
        _ => Ok(()),
    }
}

fn prefix(random: &mut Random, length: u64) -> String {
    let length = u32::try_from(length.min(32)).expect("a length");
    let bits = u32::try_from(random.below(1 << 32)).expect("32 bits");
    let bits = bits >> (32 - length) << (32 - length);
    format!("{}/{length}", std::net::Ipv4Addr::from_bits(bits))
}

/// A prefix on the way to one of few addresses.
fn nested(random: &mut Random, length: u64) -> String {
    let length = u32::try_from(length).expect("a length");
    let bits = [0x0a01_0203_u32, 0x0aff_00ff, 0xc0a8_5501][random.index(3)];
    let bits = bits >> (32 - length) << (32 - length);
    format!("{}/{length}", std::net::Ipv4Addr::from_bits(bits))
}

fn address(random: &mut Random) -> String {
    let text = if random.chance(50) {
        nested(random, 32)
    } else {
        prefix(random, 32)
    };
    text.trim_end_matches("/32").to_owned()
}

fn port(random: &mut Random) -> u16 {
    u16::try_from(1 + random.below(65_535)).expect("a port")
}

const PACKETS: usize = 300;
/// The bound of the design on the compilation of any policy.
const MOST_TIME: Duration = Duration::from_secs(10);
