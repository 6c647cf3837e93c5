//! Bytes per time through the edge, with real sockets. Only what a limit promises is timed: that it takes as long as that.

use std::time::{Duration, Instant};

use ravelin_tests::runtime::runtime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::connections::{GREEDY, OTHER, World, alone, world};

/// Bytes that tell their place: a lost, doubled or swapped block shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..u32::try_from(length).expect("small"))
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(length)
        .collect()
}

/// Sends `bytes` from `from` to the echo behind the edge and reads them back; how long that took.
async fn echo(world: &World, from: &str, bytes: Vec<u8>) -> Duration {
    let stream = world
        .client
        .connect_from(from, world.edge.address("api"), crate::connections::NAME)
        .await
        .expect("connect");
    let (mut reader, mut writer) = tokio::io::split(stream);
    let began = Instant::now();
    let sent = bytes.clone();
    let sending = tokio::spawn(async move {
        writer.write_all(&sent).await?;
        writer.shutdown().await
    });
    let mut back = Vec::new();
    reader.read_to_end(&mut back).await.expect("an echo");
    sending.await.expect("no panic").expect("sent");
    assert!(
        back == bytes,
        "{} of {} bytes came back, or others",
        back.len(),
        bytes.len()
    );
    began.elapsed()
}

/// The least time for so many bytes, both directions together.
fn least(bytes: usize, rate: f64) -> Duration {
    let burst = (rate / 10.0).max(65_536.0);
    Duration::from_secs_f64((bytes as f64 - burst).max(0.0) / rate)
}

fn pauses(world: &World) -> f64 {
    world.edge.metric("ravelin_edge_pauses_total{listener=\"api\"}")
}

#[test]
fn ten_megabytes_take_the_time_of_the_rate_and_arrive_whole() {
    let world = world(
        "limits-bandwidth",
        "",
        "bandwidth = { per_connection = \"8MB/s\" }",
    );
    let _alone = alone();
    let bytes = 5_000_000;
    let took = runtime().block_on(echo(&world, GREEDY, pattern(bytes)));
    let least = least(2 * bytes, 8e6);
    eprintln!("{took:?}, at least {least:?}; {} pauses", pauses(&world));
    assert!(took >= least, "{took:?}, at least {least:?}");
    assert!(
        took < 8 * least,
        "{took:?}: the rate is not used, {least:?} would do"
    );
    assert!(pauses(&world) > 10.0);
}

#[test]
fn connections_of_a_source_share_its_rate_in_turns_and_another_source_does_not_notice() {
    let limits = "bandwidth = { per_connection = \"1GB/s\", per_source = \"4MB/s\" }";
    let world = world("limits-bandwidth-source", "", limits);
    let _alone = alone();
    let bytes = 500_000;
    let (took, times, other) = runtime().block_on(async {
        let began = Instant::now();
        let of_one = futures(&world, bytes);
        let other = echo(&world, OTHER, pattern(bytes / 4));
        let (times, other) = tokio::join!(of_one, other);
        (began.elapsed(), times, other)
    });
    let least = least(2 * 4 * bytes, 4e6);
    eprintln!("{took:?} for four, at least {least:?}: {times:?}; another source {other:?}");
    assert!(took >= least, "{took:?}, at least {least:?}");
    // First come, first served: none is through while another has hardly begun.
    let (first, last) = (
        times.iter().min().expect("four"),
        times.iter().max().expect("four"),
    );
    assert!(*first * 2 > *last, "{times:?}");
    assert!(other < *first, "the other source took {other:?}");
}

async fn futures(world: &World, bytes: usize) -> Vec<Duration> {
    let one = || echo(world, GREEDY, pattern(bytes));
    let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
    vec![a, b, c, d]
}

#[test]
fn a_paused_connection_is_not_idle_and_leaves_its_turn_to_others_when_it_goes() {
    let limits = "idle_timeout = \"500ms\"\nbandwidth = { per_source = \"16KB/s\" }";
    let world = world("limits-bandwidth-idle", "", limits);
    let _alone = alone();
    runtime().block_on(async {
        // Three that want more than there is, and go without a word.
        let mut gone = Vec::new();
        for _ in 0..3 {
            let mut stream = world.served(GREEDY).await.expect("served");
            let (client, _) = stream.get_mut();
            client.set_zero_linger().expect("an option");
            stream.write_all(&pattern(30_000)).await.expect("sent");
            gone.push(stream);
        }
        drop(gone);
        // 60 KB both ways at 16 KB/s: pauses are longer than the idle time-out.
        let took = echo(&world, GREEDY, pattern(60_000)).await;
        assert!(took >= Duration::from_secs(2), "{took:?}");
    });
    assert_eq!(world.edge.ended("api", "idle_timeout"), 0.0);
    assert!(pauses(&world) > 1.0);
}

#[test]
fn a_reload_that_leaves_the_bandwidth_alone_keeps_the_bucket_of_a_source() {
    let world = world(
        "limits-bandwidth-reload",
        "",
        "bandwidth = { per_source = \"20KB/s\" }",
    );
    let _alone = alone();
    runtime().block_on(echo(&world, GREEDY, pattern(32_768)));
    world.edge.reload().expect("the same policy loads");
    let took = runtime().block_on(echo(&world, GREEDY, pattern(16_384)));
    assert!(took >= Duration::from_millis(800), "a second burst: {took:?}");
}
