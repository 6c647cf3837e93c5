//! When a server cannot be reached: the next one, each once, in bounded time.

use std::time::{Duration, Instant};

use ravelin_tests::backend::Backend;
use ravelin_tests::wait;

use super::peers::{Place, Silent};
use super::{SOON, World};

#[test]
fn a_server_that_does_not_answer_costs_its_time_and_then_the_next_is_tried() {
    let silent = [Silent::new(), Silent::new()];
    let up = Backend::http("up");
    let servers = [silent[0].address, silent[1].address, up.address()];
    let terms = "connect_timeout = \"400ms\"";
    let world = World::new("up-retry-silent", &servers, terms);
    let start = Instant::now();
    assert!(world.answer().expect("an answer").ends_with("up"));
    let took = start.elapsed();
    assert_eq!(world.connects("timeout"), 2.0);
    assert_eq!(world.count("retries"), 2.0);
    assert!(took >= Duration::from_millis(790), "{took:?}");
    // Without the bound the kernel would try for two minutes.
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(up.accepted(), 1);
}

#[test]
fn each_server_is_tried_once() {
    let places = [Place::empty(), Place::empty(), Place::empty()];
    let servers = places.each_ref().map(Place::address);
    let world = World::new("up-retry-once", &servers, "");
    world.answer().expect_err("nobody is there");
    assert_eq!(world.connects("refused"), 3.0);
    assert_eq!(world.count("retries"), 2.0);
    wait::until("the end to be counted", SOON, || {
        (world.edge.ended("api", "upstream_unreachable") == 1.0).then_some(())
    });
}

#[test]
fn nothing_is_tried_again_once_a_byte_was_relayed() {
    // It takes the request and hangs up.
    let rude = Backend::new(|stream| async move {
        stream.readable().await?;
        drop(stream);
        Ok(())
    });
    let other = Backend::http("other");
    let world = World::new("up-retry-relayed", &[rude.address(), other.address()], "");
    let answers: Vec<_> = (0..10).map(|_| world.answer()).collect();
    let served = answers
        .iter()
        .filter(|answer| answer.as_ref().is_ok_and(|answer| answer.ends_with("other")));
    assert_eq!(served.count(), 5);
    assert_eq!((rude.accepted(), other.accepted()), (5, 5));
    assert_eq!(world.count("retries"), 0.0);
}
