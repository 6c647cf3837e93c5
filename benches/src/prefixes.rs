//! Random prefixes, and the policy that names them: what the benches of sets share.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a bench stops when it cannot measure"
)]

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ravelin_tests::random::Random;

/// So many prefixes in no order, `six` of ten of them IPv6: /24 to /32 between 1.0.0.0 and 126.255.255.255, /48 to /128 in
/// 2000::/3.
#[must_use]
pub fn prefixes(random: &mut Random, count: usize, six: u64) -> Vec<IpNet> {
    let mut prefixes = BTreeSet::new();
    while prefixes.len() < count {
        let prefix = if random.below(10) < six {
            let length = [48, 56, 64, 128][random.index(4)];
            let net = Ipv6Net::new(address6(random), length).expect("a length");
            IpNet::V6(net.trunc())
        } else {
            let length = [24, 28, 32, 32][random.index(4)];
            let net = Ipv4Net::new(address4(random), length).expect("a length");
            IpNet::V4(net.trunc())
        };
        prefixes.insert(prefix);
    }
    let mut prefixes: Vec<IpNet> = prefixes.into_iter().collect();
    // Feeds are not sorted.
    for at in (1..prefixes.len()).rev() {
        prefixes.swap(at, random.index(at + 1));
    }
    prefixes
}

/// An address that prefixes are drawn from.
#[must_use]
pub fn address4(random: &mut Random) -> Ipv4Addr {
    let bits = random.below(126 << 24) + (1 << 24);
    Ipv4Addr::from_bits(u32::try_from(bits).expect("32 bits"))
}

/// The same for IPv6.
#[must_use]
pub fn address6(random: &mut Random) -> Ipv6Addr {
    let bits = u128::from(random.bits()) << 64 | u128::from(random.bits());
    Ipv6Addr::from_bits(bits >> 3 | 1 << 125)
}

/// One of so many; of each doubling as often as of the next, which makes the n-th about one n-th as often as the
/// first (Zipf).
#[must_use]
pub fn zipf(random: &mut Random, count: usize) -> usize {
    let doubles = count.ilog2() + 1;
    let first = 1_usize << random.index(doubles as usize);
    // From `first` to just below its double; what is above the last starts again.
    (first - 1 + random.index(first)) % count
}

/// The address of the prefix that ends as `host` does.
#[must_use]
pub fn within(prefix: IpNet, host: IpAddr) -> IpAddr {
    match (prefix.network(), prefix.hostmask(), host) {
        (IpAddr::V4(network), IpAddr::V4(mask), IpAddr::V4(host)) => (network | (host & mask)).into(),
        (IpAddr::V6(network), IpAddr::V6(mask), IpAddr::V6(host)) => (network | (host & mask)).into(),
        (network, ..) => network,
    }
}

/// Writes the prefixes into `files` lists below `folder`, and a policy that denies them; returns its path.
#[must_use]
pub fn write_policy(folder: &Path, prefixes: &[IpNet], files: usize) -> PathBuf {
    let lines: Vec<String> = prefixes.iter().map(IpNet::to_string).collect();
    let mut names = Vec::new();
    for (at, part) in lines.chunks(lines.len().div_ceil(files)).enumerate() {
        let name = format!("{at:03}.txt");
        fs::write(folder.join(&name), part.join("\n") + "\n").expect("a list");
        names.push(format!("\"{name}\""));
    }
    let path = folder.join("policy.toml");
    fs::write(&path, POLICY.replace("FILES", &names.join(", "))).expect("a policy");
    path
}

const POLICY: &str = r#"
[firewall]
stateful     = false
inbound      = "allow"
table_memory = "512MiB"
[[set]]
name  = "feed"
files = [FILES]
[[rule]]
name   = "feed"
action = "deny"
source = "@feed"
"#;
