//! OCSP responses from a file: sent while they hold, and never in the way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ravelin_tests::backend::Backend;
use ravelin_tests::client::{curl, s_client};
use ravelin_tests::edge::Edge;
use ravelin_tests::ocsp::{Answer, ending_in, respond};
use ravelin_tests::pki::{Authority, Pair};
use ravelin_tests::{requires, wait};

use super::{NAME, SOON, policy};

struct World {
    edge: Edge,
    authority: Authority,
    pair: Pair,
    _backend: Backend,
}

/// The policy names a staple that is not there yet.
fn world(test: &str) -> World {
    let backend = Backend::http("stapled");
    let policy =
        policy(backend.address(), "", "").replace("\"api.key\" }", "\"api.key\", ocsp = \"api.ocsp\" }");
    let authority = Authority::new();
    let pair = authority.issue(&[NAME]);
    World {
        edge: Edge::start(test, &policy, &[("api", &pair)]),
        authority,
        pair,
        _backend: backend,
    }
}

impl World {
    fn staple(&self, response: &[u8]) {
        self.edge.home().write_bytes("api.ocsp", response);
        self.edge.reload().expect("a staple is never in the way");
    }

    fn respond(&self, answer: Answer) -> Vec<u8> {
        respond(self.edge.home(), &self.authority, &self.pair, answer)
    }

    fn sees(&self, version: &str) -> bool {
        let said = s_client(
            self.edge.address("api"),
            &[version, "-servername", NAME, "-status"],
            "",
        );
        let none = said.contains("OCSP response: no response sent");
        assert!(none || said.contains("Cert Status: good"), "{said}");
        !none
    }

    fn ends(&self) -> Option<f64> {
        let series = "ravelin_edge_tls_ocsp_next_update_timestamp_seconds";
        let page = self.edge.metrics();
        let line = page.lines().find(|line| line.starts_with(series))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64()
}

#[test]
fn clients_that_ask_see_the_response_and_verify_it() {
    requires!(Tool("openssl"), Tool("curl"));
    let world = world("staple-good");
    assert!(!world.sees("-tls1_3"));
    assert_eq!(world.ends(), None);
    // A client that verifies the response needs the issuer, which the chain may name.
    let chain = format!("{}{}", world.pair.cert, world.authority.pem());
    world.edge.home().write("api.pem", &chain);
    world.staple(&world.respond(Answer::Good));
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(world.sees(version), "{version}");
    }
    let to = world.edge.address("api");
    let verified = curl(world.edge.home(), &world.authority, to, NAME, &["--cert-status"]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    let ends = world.ends().expect("a series");
    let week = Duration::from_secs(7 * 86_400).as_secs_f64();
    assert!((ends - now() - week).abs() < 600.0, "{ends}");
    // Who does not ask gets none.
    let said = s_client(to, &["-servername", NAME], "");
    assert!(!said.contains("OCSP"), "{said}");
}

#[test]
fn what_is_stale_revoked_damaged_or_of_another_certificate_is_left_out() {
    requires!(Tool("openssl"));
    let world = world("staple-bad");
    let good = world.respond(Answer::Good);
    let other = world.authority.issue(&[NAME]);
    let other = respond(world.edge.home(), &world.authority, &other, Answer::Good);
    let bad = [
        ending_in(&good, -60),
        world.respond(Answer::Revoked),
        good[..good.len() / 2].to_vec(),
        Vec::new(),
        b"-----BEGIN OCSP-----".to_vec(),
        other,
    ];
    for (index, response) in bad.iter().enumerate() {
        world.staple(&good);
        assert!(world.sees("-tls1_3"));
        world.staple(response);
        assert!(!world.sees("-tls1_3"), "response {index}");
    }
    assert_eq!(world.ends(), None);
}

#[test]
fn a_new_response_is_taken_up_and_one_that_runs_out_is_dropped_without_being_told() {
    requires!(Tool("openssl"));
    let world = world("staple-watched");
    let good = world.respond(Answer::Good);
    world.edge.home().write_bytes("api.ocsp", &good);
    wait::until("the response to be sent", SOON, || {
        world.sees("-tls1_3").then_some(())
    });
    // The client does not look at the signature.
    world.staple(&ending_in(&good, 5));
    wait::until("the response to run out", SOON, || {
        (!world.sees("-tls1_3")).then_some(())
    });
    assert!(world.ends().expect("it is still configured") <= now());
}
