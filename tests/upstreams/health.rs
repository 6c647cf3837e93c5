//! Health checks: servers that are down get nobody, come back, and are tried when there is no other.

use ravelin_tests::backend::Backend;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::AsyncReadExt as _;

use super::peers::{Place, Silent, tls_server};
use super::{SOON, World, policy};

const QUICK: &str = "health = { every = \"100ms\", rise = 2, fall = 2 }\neject = \"off\"";

/// Once down it stays so: a hundred checks have to pass.
const STICKY: &str = "health = { every = \"100ms\", rise = 100, fall = 1 }\neject = \"off\"";

#[test]
fn a_server_that_is_down_gets_nobody_until_it_is_back() {
    let (mut coming, staying) = (Place::empty(), Backend::http("staying"));
    coming.open("coming");
    let world = World::new("up-health", &[coming.address(), staying.address()], QUICK);
    world.await_up(coming.address(), true);
    coming.close();
    world.await_up(coming.address(), false);
    assert_eq!(world.server("up", staying.address()), 1.0);
    let refused = world.connects("refused");
    for _ in 0..20 {
        assert!(world.answer().expect("an answer").ends_with("staying"));
    }
    assert_eq!(world.connects("refused"), refused, "it was tried");
    assert!(world.checks("refused") >= 2.0);
    coming.open("coming");
    world.await_up(coming.address(), true);
    let answers: Vec<_> = (0..20).map(|_| world.answer().expect("an answer")).collect();
    assert_eq!(
        answers.iter().filter(|answer| answer.ends_with("coming")).count(),
        10
    );
}

#[test]
fn when_all_are_down_all_are_tried() {
    let (mut first, second) = (Place::empty(), Place::empty());
    let world = World::new("up-health-all", &[first.address(), second.address()], STICKY);
    world.await_up(first.address(), false);
    world.await_up(second.address(), false);
    // The checks need a hundred rounds to believe it; clients do not wait for that.
    first.open("there");
    for _ in 0..10 {
        assert!(world.answer().expect("an answer").ends_with("there"));
    }
    assert_eq!(world.server("up", first.address()), 0.0);
}

#[test]
fn what_the_checks_found_outlives_a_reload() {
    let (mut down, up) = (Place::empty(), Backend::http("up"));
    let servers = [down.address(), up.address()];
    let world = World::new("up-health-reload", &servers, STICKY);
    world.await_up(down.address(), false);
    down.open("down");
    let third = Backend::http("third");
    let more = [down.address(), up.address(), third.address()];
    world.edge.write_policy(&policy(&more, STICKY));
    world.edge.reload().expect("the policy loads");
    assert_eq!(world.server("up", down.address()), 0.0);
    assert_eq!(world.server("up", third.address()), 1.0);
    // What nobody checks is not down.
    world.edge.write_policy(&policy(&servers, "eject = \"off\""));
    world.edge.reload().expect("the policy loads");
    let answers: Vec<_> = (0..10).map(|_| world.answer().expect("an answer")).collect();
    assert_eq!(
        answers.iter().filter(|answer| answer.ends_with("down")).count(),
        5
    );
    assert!(!world.edge.metrics().contains("ravelin_edge_upstream_server_up{"));
    world.edge.write_policy(&policy(&servers, STICKY));
    world.edge.reload().expect("the policy loads");
    assert_eq!(world.server("up", down.address()), 1.0, "begun anew");
}

#[test]
fn checks_end_with_their_upstream() {
    let (gone, kept) = (Backend::echo(), Backend::echo());
    let both = |gone: &Backend| {
        let upstream = "health = { every = \"100ms\" }\n[[upstream]]\nname = \"gone\"\n";
        policy(
            &[kept.address()],
            &format!(
                "{upstream}servers = [\"{}\"]\nhealth = {{ every = \"100ms\" }}",
                gone.address()
            ),
        )
    };
    let world = World::with_files("up-health-end", &[], &both(&gone));
    wait::until("both to be checked", SOON, || {
        (gone.accepted() >= 3 && kept.accepted() >= 3).then_some(())
    });
    world
        .edge
        .write_policy(&policy(&[kept.address()], "health = { every = \"100ms\" }"));
    world.edge.reload().expect("the policy loads");
    // A check that was on its way may still arrive.
    let (kept_then, gone_then) = (kept.accepted(), gone.accepted());
    wait::until("more checks of the other", SOON, || {
        (kept.accepted() >= kept_then + 6).then_some(())
    });
    assert!(
        gone.accepted() <= gone_then + 1,
        "{gone_then} checks grew to {}",
        gone.accepted()
    );
    assert!(!world.edge.metrics().contains("upstream=\"gone\""));
    let checked = kept.accepted();
    assert_eq!(world.edge.stop(), 0);
    assert!(kept.accepted() <= checked + 2);
}

#[test]
fn a_check_shakes_hands_where_the_upstream_has_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (good, seen) = tls_server(&authority.issue(&["app.internal"]), None, &[]);
    let (bad, _) = tls_server(&stranger.issue(&["app.internal"]), None, &[]);
    // It accepts, and says nothing: the handshake has to end with the timeout.
    let mute = Backend::new(|mut stream| async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.map(drop)
    });
    let terms = "tls = { server_name = \"app.internal\", ca = \"internal.pem\" }\n\
                 health = { every = \"200ms\", timeout = \"150ms\", fall = 1, rise = 1 }";
    let servers = [good.address(), bad.address(), mute.address()];
    let world = World::with_files(
        "up-health-tls",
        &[("internal.pem", &authority.pem())],
        &policy(&servers, terms),
    );
    world.await_up(bad.address(), false);
    world.await_up(mute.address(), false);
    wait::until("the good one to be checked", SOON, || {
        (!seen.lock().expect("unbroken").sessions.is_empty()).then_some(())
    });
    wait::until("all results", SOON, || {
        ["connected", "tls", "timeout"]
            .iter()
            .all(|result| world.checks(result) >= 1.0)
            .then_some(())
    });
    assert_eq!(seen.lock().expect("unbroken").bytes, 0);
}

#[test]
fn a_server_that_does_not_like_our_certificate_is_down() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (server, _) = tls_server(&authority.issue(&["app.internal"]), Some(&authority), &[]);
    let pair = stranger.issue(&["edge"]);
    let tls = "tls = { server_name = \"app.internal\", ca = \"internal.pem\", cert = \"edge.pem\", key = \"edge.key\" }\n\
               health = { every = \"200ms\", fall = 2, rise = 1 }";
    let world = World::with_files(
        "up-health-client-cert",
        &[
            ("internal.pem", &authority.pem()),
            ("edge.pem", &pair.cert),
            ("edge.key", &pair.key),
        ],
        &policy(&[server.address()], tls),
    );
    // The handshake is over for us before the server has looked at the certificate.
    world.await_up(server.address(), false);
    assert!(world.checks("tls") >= 2.0);
    let ours = authority.issue(&["edge"]);
    world.edge.write_pair("edge", &ours);
    world.await_up(server.address(), true);
}

#[test]
fn a_server_that_answers_no_syn_does_not_hold_up_the_checks_of_others() {
    let silent: Vec<_> = (0..20).map(|_| Silent::new()).collect();
    let (mut coming, mut servers) = (Place::empty(), Vec::new());
    servers.extend(silent.iter().map(|silent| silent.address));
    servers.push(coming.address());
    let terms = "health = { every = \"400ms\", timeout = \"200ms\", rise = 1, fall = 1 }";
    let world = World::new("up-health-silent", &servers, terms);
    world.await_up(coming.address(), false);
    coming.open("there");
    world.await_up(coming.address(), true);
    for silent in &silent {
        world.await_up(silent.address, false);
    }
    let answer = runtime().block_on(world.ask(super::GET)).expect("an answer");
    assert!(answer.ends_with("there"));
    assert_eq!(
        world.connects("timeout"),
        0.0,
        "nobody was sent to one that is down"
    );
}
