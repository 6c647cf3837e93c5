//! A million sources against a table with a bound. A suite of its own: it measures the memory of the whole process.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use ravelin_daemon::metrics::EdgeMetrics;
use ravelin_daemon::transport::limit::{Limiter, Rates, Terms};
use ravelin_datapath::wire::SourceLengths;
use ravelin_rules::policy::{OverLimit, Quota, Rate};
use ravelin_tests::resident::resident_bytes;

fn source(number: u64) -> IpAddr {
    // One /64 each.
    IpAddr::V6(Ipv6Addr::from_bits(
        0x2001_0db8 << 96 | u128::from(number) << 64 | 1,
    ))
}

const TERMS: Terms = Terms {
    per_source: Some(10),
    per_network: Some(1_000_000),
    over: OverLimit::Refuse,
    observe: false,
};

#[test]
fn a_million_sources_stay_under_the_stated_bound_and_the_door_stays_closed() {
    let rate = Rate {
        count: 1,
        per: Duration::from_secs(60),
    };
    for max_sources in [1_000, 100_000, 1_000_000] {
        let shared = EdgeMetrics::new()
            .expect("metrics")
            .listener("test")
            .limiter_shared;
        let before = resident_bytes();
        let epoch = Instant::now();
        // Two sources a network: the narrowest there is.
        let rates = Rates {
            connections: Some(Quota { rate, burst: 2 }),
            per_network: None,
            handshakes: None,
            network: Some(SourceLengths { v4: 31, v6: 63 }),
            max_sources,
        };
        let limiter = Limiter::new(rates, shared.clone(), epoch);
        let bound = limiter.memory_bound();
        assert_eq!(
            bound,
            2 * max_sources as usize * Limiter::BYTES_PER_SOURCE + Limiter::FIXED_BYTES
        );
        let mut accepted_by_shared = 0;
        for number in 0..1_000_000 {
            let judged_by_shared = shared.get();
            let judged = limiter.judge(source(number), TERMS, epoch + Duration::from_micros(number));
            if shared.get() > judged_by_shared {
                accepted_by_shared += usize::from(judged.is_ok());
            } else {
                assert!(judged.is_ok(), "source {number} has a full bucket of its own");
            }
        }
        let grown = resident_bytes().saturating_sub(before);
        eprintln!(
            "max_sources {max_sources}: {} entries, bound {bound} bytes, set aside {}, resident +{grown}, {} judged by the shared bucket",
            limiter.sources(),
            limiter.memory(),
            shared.get(),
        );
        assert!(limiter.sources() <= max_sources as usize);
        assert_eq!(limiter.capacity(), max_sources as usize);
        assert!(
            limiter.memory() <= bound,
            "{} set aside, {bound} promised",
            limiter.memory()
        );
        assert!(grown <= bound + MEASURING, "{grown} grown, {bound} promised");
        // A million newcomers in one second, at one a minute for each: together they got the share of one.
        assert!(
            accepted_by_shared <= 2,
            "{accepted_by_shared} accepted by the shared bucket"
        );
        assert!(limiter.sources() >= max_sources as usize * 98 / 100);
    }
}

/// What the measuring itself and the allocator may add.
const MEASURING: usize = 512 * 1024;
