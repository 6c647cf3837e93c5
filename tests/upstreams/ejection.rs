//! Ejection: clients are spared a server that others could not be connected to.

use ravelin_tests::backend::Backend;
use ravelin_tests::wait;

use super::peers::Place;
use super::{SOON, World, policy};

#[test]
fn a_server_that_fails_again_and_again_is_left_out() {
    let (down, up) = (Place::empty(), Backend::http("up"));
    let servers = [down.address(), up.address()];
    let world = World::new("up-eject", &servers, "eject = { failures = 3, for = \"1h\" }");
    for _ in 0..30 {
        assert!(world.answer().expect("an answer").ends_with("up"));
    }
    assert_eq!(world.connects("refused"), 3.0, "and not one more");
    assert_eq!(world.count("retries"), 3.0);
    assert_eq!(world.count("ejections"), 1.0);
    assert_eq!(world.server("ejected", down.address()), 1.0);
    assert_eq!(world.server("ejected", up.address()), 0.0);
    // A reload changes nothing of that.
    world
        .edge
        .write_policy(&policy(&servers, "eject = { failures = 3, for = \"2h\" }").replace("2h", "1h"));
    world.edge.reload().expect("the policy loads");
    assert_eq!(world.server("ejected", down.address()), 1.0);
    // Switched off, it is tried again.
    world.edge.write_policy(&policy(&servers, "eject = \"off\""));
    world.edge.reload().expect("the policy loads");
}

#[test]
fn by_default_five_failures_are_too_many() {
    let (down, up) = (Place::empty(), Backend::http("up"));
    let world = World::new("up-eject-default", &[down.address(), up.address()], "");
    for _ in 0..12 {
        assert!(world.answer().expect("an answer").ends_with("up"));
    }
    assert_eq!(world.connects("refused"), 5.0);
    assert_eq!(world.count("ejections"), 1.0);
}

#[test]
fn switched_off_nobody_is_left_out() {
    let (down, up) = (Place::empty(), Backend::http("up"));
    let world = World::new("up-eject-off", &[down.address(), up.address()], "eject = \"off\"");
    for _ in 0..30 {
        assert!(world.answer().expect("an answer").ends_with("up"));
    }
    assert_eq!(world.connects("refused"), 15.0);
    assert_eq!(world.count("ejections"), 0.0);
}

#[test]
fn it_ends_by_itself_and_one_more_failure_begins_it_again() {
    let (mut down, up) = (Place::empty(), Backend::http("up"));
    let world = World::new(
        "up-eject-end",
        &[down.address(), up.address()],
        "eject = { failures = 3, for = \"1s\" }",
    );
    let ejected = |number: f64| {
        wait::until("an ejection", SOON, || {
            assert!(world.answer().expect("an answer").ends_with("up"));
            (world.count("ejections") == number).then_some(())
        });
    };
    ejected(1.0);
    assert_eq!(world.connects("refused"), 3.0);
    ejected(2.0);
    assert_eq!(world.connects("refused"), 4.0, "one attempt was enough");
    down.open("down");
    wait::until("it to be tried again", SOON, || {
        world.answer().expect("an answer").ends_with("down").then_some(())
    });
    assert_eq!(world.server("ejected", down.address()), 0.0);
    down.close();
    // Its failures were forgotten: again it takes three.
    let refused = world.connects("refused");
    ejected(3.0);
    assert_eq!(world.connects("refused"), refused + 3.0);
}

#[test]
fn the_last_server_is_never_left_out() {
    let (mut first, second) = (Place::empty(), Place::empty());
    let terms = "eject = { failures = 2, for = \"1h\" }";
    let world = World::new("up-eject-last", &[first.address()], terms);
    for _ in 0..10 {
        world.answer().expect_err("nobody is there");
    }
    assert_eq!(world.connects("refused"), 10.0);
    assert_eq!(world.count("ejections"), 0.0);
    assert_eq!(world.server("ejected", first.address()), 0.0);
    // Of two, one stays.
    world
        .edge
        .write_policy(&policy(&[first.address(), second.address()], terms));
    world.edge.reload().expect("the policy loads");
    for _ in 0..10 {
        world.answer().expect_err("nobody is there");
    }
    let ejected = world.server("ejected", first.address()) + world.server("ejected", second.address());
    assert_eq!(ejected, 1.0);
    assert_eq!(world.count("ejections"), 1.0);
    first.open("first");
    if world.server("ejected", first.address()) == 0.0 {
        assert!(world.answer().expect("an answer").ends_with("first"));
    }
}
