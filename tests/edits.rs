//! The law for tables that are changed in place: after each edit of a set file the changed tables say what the oracle says of the
//! policy after it, and what tables built anew say.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use ravelin_datapath::{Origin, SliceFrame, Tables as _, decide};
use ravelin_rules::{Budget, Direction, HostFacts, Loaded, Policy, TableImage, load, reference};
use ravelin_tests::packet::{Packet, ether};
use ravelin_tests::random::{self, Random};

#[test]
fn tables_changed_in_place_judge_as_the_oracle_does() {
    let mut random = Random::new(random::seed());
    let (mut in_place, mut rebuilt, mut packets) = (0, 0, 0);
    for policy in POLICIES {
        for _ in 0..ROUNDS {
            let mut world = World::new(&mut random, policy);
            for _ in 0..EDITS {
                let changed = world.edit(&mut random);
                match world.amend() {
                    true => in_place += 1,
                    false => rebuilt += 1,
                }
                packets += world.judge(&mut random, &changed);
            }
        }
    }
    println!("{in_place} edits in place, {rebuilt} by new tables, {packets} packets, 0 differences");
    assert!(in_place > 2 * rebuilt, "small changes are made in place");
    assert!(rebuilt > 0, "and what cannot be is left");
}

/// A policy with a set file, and its tables.
struct World {
    folder: tempfile::TempDir,
    lines: Vec<IpNet>,
    loaded: Loaded,
    image: TableImage,
    amender: ravelin_rules::Amender,
}

impl World {
    fn new(random: &mut Random, policy: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let length = 3 + random.index(400);
        let lines: Vec<IpNet> = (0..length).map(|_| prefix(random)).collect();
        write(&folder, &lines);
        fs::write(folder.path().join("policy.toml"), policy).expect("a policy");
        let loaded = load(&folder.path().join("policy.toml")).expect("the policy is good");
        let image = compile(&loaded.policy);
        let amender = image.amender();
        Self {
            folder,
            lines,
            loaded,
            image,
            amender,
        }
    }

    /// Changes some lines; returns what went and came.
    fn edit(&mut self, random: &mut Random) -> Vec<IpNet> {
        let at = random.index(self.lines.len());
        let gone = random
            .index(3)
            .min(self.lines.len() - at)
            .min(self.lines.len() - 1);
        let near = self.lines[at];
        let come: Vec<IpNet> = (0..random.index(3).max(usize::from(gone == 0)))
            .map(|_| match random.below(30) {
                // Where no source can be: what its addresses are, none of the set was before.
                0 => net(IpAddr::V4(Ipv4Addr::new(127, random.byte(), 0, 1)), 32),
                1..10 => prefix(random),
                // Beside another, around it, or inside of it.
                _ => neighbour(random, near),
            })
            .collect();
        let went: Vec<IpNet> = self.lines.splice(at..at + gone, come.iter().copied()).collect();
        write(&self.folder, &self.lines);
        [went, come].concat()
    }

    /// Takes the edit into policy and tables; whether it was done in place.
    fn amend(&mut self) -> bool {
        let path = self.folder.path().join(FEED);
        let edits = self.loaded.set_files.edits(&[path], &self.loaded.policy);
        let patch = match edits.as_deref() {
            Some([edit]) => {
                let image = &self.image;
                let patch = self
                    .amender
                    .amend(|at| image.double(at), &self.loaded.policy, &edit.change);
                self.loaded.policy = self.loaded.set_files.take(&self.loaded.policy, edit);
                patch
            }
            // Nothing but the file's time changed, or it is left to a whole reading.
            _ => None,
        };
        match &patch {
            Some(patch) => self.image.apply(patch),
            None => self.rebuild(),
        }
        patch.is_some()
    }

    fn rebuild(&mut self) {
        self.loaded = load(&self.folder.path().join("policy.toml")).expect("the policy is good");
        self.image = compile(&self.loaded.policy);
        self.amender = self.image.amender();
    }

    /// Asks about addresses at the ends of what changed, and about others.
    fn judge(&self, random: &mut Random, changed: &[IpNet]) -> usize {
        let mut asked: Vec<IpAddr> = changed.iter().copied().flat_map(around).collect();
        for _ in 0..8 {
            asked.extend(around(self.lines[random.index(self.lines.len())]));
            asked.push(prefix(random).addr());
        }
        let anew = compile(&self.loaded.policy);
        for address in &asked {
            for packet in packets(*address) {
                let (bytes, origin) = (packet.bytes(), Origin::default());
                let host = HostFacts::default();
                let oracle = reference::judge(&self.loaded.policy, &host, Direction::Inbound, origin, &bytes);
                for tables in [&self.image, &anew] {
                    let said = decide(&SliceFrame(&bytes), tables, origin);
                    assert_eq!(said, oracle, "{address} after {changed:?}");
                }
            }
        }
        asked.len() * 2
    }
}

/// A range trie behind a bitmap, whatever the number of prefixes.
fn compile(policy: &Policy) -> TableImage {
    let budget = Budget {
        ranges: true,
        ..Budget::of(64 << 20)
    };
    TableImage::compile_within(policy, &HostFacts::default(), Direction::Inbound, budget).expect("it fits")
}

fn write(folder: &tempfile::TempDir, lines: &[IpNet]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(folder.path().join(FEED), text).expect("a set file");
}

/// Of every length, close enough that they overlap.
fn prefix(random: &mut Random) -> IpNet {
    let (address, least, most) = if random.below(2) == 0 {
        let bits = 10 << 24 | u32::try_from(random.below(1 << 24)).expect("24 bits");
        (IpAddr::V4(Ipv4Addr::from_bits(bits)), 9, 32)
    } else {
        let bits = 0x2001_0db8 << 96 | u128::from(random.bits()) << 32 | u128::from(random.bits() >> 32);
        (IpAddr::V6(Ipv6Addr::from_bits(bits)), 33, 128)
    };
    // Mostly long ones: the short ones cover all the others.
    let most_less = random.below(most - least + 1);
    let length = most - random.below(1 + most_less);
    net(address, u8::try_from(length).expect("a length"))
}

/// One that overlaps `near`, or touches it.
fn neighbour(random: &mut Random, near: IpNet) -> IpNet {
    let length = i16::from(near.prefix_len()) + i16::try_from(random.below(9)).expect("small") - 4;
    let most = i16::from(near.max_prefix_len());
    let addresses = around(near);
    let address = addresses[random.index(addresses.len())];
    net(address, u8::try_from(length.clamp(8, most)).expect("a length"))
}

fn net(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length).expect("a length").trunc()
}

/// The addresses at its ends, and those beside them.
fn around(prefix: IpNet) -> Vec<IpAddr> {
    match (prefix.network(), prefix.broadcast()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (first.to_bits(), last.to_bits());
            let ends = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
            ends.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))).to_vec()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let (first, last) = (first.to_bits(), last.to_bits());
            let ends = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
            ends.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))).to_vec()
        }
        _ => Vec::new(),
    }
}

/// From the address, and to it.
fn packets(address: IpAddr) -> [Packet; 2] {
    match address {
        IpAddr::V4(address) => [
            ether().ipv4().source(address).tcp(443),
            ether().ipv4().destination(address).udp(53),
        ],
        IpAddr::V6(address) => [
            ether().ipv6().source(address).tcp(443),
            ether().ipv6().destination(address).udp(53),
        ],
    }
}

const FEED: &str = "feed.txt";
const ROUNDS: usize = 25;
const EDITS: usize = 25;
/// Sets as sources, as exceptions, beside others, and on both sides.
const POLICIES: [&str; 3] = [
    "[firewall]\nstateful = false\n[[set]]\nname = \"feed\"\nfiles = [\"feed.txt\"]\n\
     [[rule]]\nname = \"listed\"\naction = \"deny\"\nsource = \"@feed\"\n\
     [[rule]]\nname = \"all\"\naction = \"allow\"\nprotocol = \"tcp\"\n",
    "[firewall]\nstateful = false\n[[set]]\nname = \"feed\"\nfiles = [\"feed.txt\"]\n\
     [[rule]]\nname = \"some\"\naction = \"allow\"\nsource = [\"10.64.0.0/10\", \"2001:db8:8000::/34\", \"!@feed\"]\n\
     [[rule]]\nname = \"web\"\naction = \"allow\"\nsource = [\"@feed\", \"!10.5.0.0/16\"]\nprotocol = \"tcp\"\nports = 443\n",
    "[firewall]\nstateful = false\ninbound = \"allow\"\n[[set]]\nname = \"feed\"\nfiles = [\"feed.txt\"]\n\
     [[rule]]\nname = \"to\"\naction = \"deny\"\ndestination = \"@feed\"\nsource = \"!10.1.0.0/16\"\n",
];
