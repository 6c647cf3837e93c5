//! Session tickets: how long they are good for, and what ends them.

use ravelin_tests::backend::Backend;
use ravelin_tests::client::s_client;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::{requires, wait};

use super::{NAME, SOON, policy};

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

struct World {
    edge: Edge,
    backend: Backend,
}

fn world(test: &str, tickets: &str) -> World {
    let backend = Backend::http("");
    let policy = policy(backend.address(), tickets, "");
    let edge = Edge::start(test, &policy, &[("api", &Authority::new().issue(&[NAME]))]);
    World { edge, backend }
}

impl World {
    /// A whole handshake, whose session is kept in a file; what `openssl` said.
    fn new_session(&self, version: &str) -> String {
        let said = s_client(
            self.edge.address("api"),
            &[
                version,
                "-servername",
                NAME,
                "-ign_eof",
                "-sess_out",
                &self.file(version),
            ],
            "GET / HTTP/1.1\r\n\r\n",
        );
        assert!(said.contains("New, TLSv1"), "{said}");
        said
    }

    fn resumes(&self, version: &str) -> bool {
        let said = s_client(
            self.edge.address("api"),
            &[version, "-servername", NAME, "-sess_in", &self.file(version)],
            "",
        );
        assert!(
            said.contains("New, TLSv1") || said.contains("Reused, TLSv1"),
            "{said}"
        );
        said.contains("Reused, TLSv1")
    }

    fn file(&self, version: &str) -> String {
        format!("{}/session{version}", self.edge.home().directory().display())
    }
}

#[test]
fn a_ticket_is_good_until_its_key_is_erased() {
    requires!(Tool("openssl"));
    let world = world(
        "tickets-rotate",
        "tickets = { rotate = \"3s\", lifetime = \"6s\" }",
    );
    let said = world.new_session("-tls1_3");
    assert!(
        said.contains("TLS session ticket lifetime hint: 6 (seconds)"),
        "{said}"
    );
    assert!(world.resumes("-tls1_3"));
    wait::until("the key to be erased", SOON, || {
        (!world.resumes("-tls1_3")).then_some(())
    });
    world.new_session("-tls1_3");
    assert!(world.resumes("-tls1_3"), "with the next key");
}

#[test]
fn without_tickets_no_session_is_resumed() {
    requires!(Tool("openssl"));
    let world = world("tickets-off", "tickets = \"off\"");
    for version in VERSIONS {
        let said = s_client(
            world.edge.address("api"),
            &[
                version,
                "-servername",
                NAME,
                "-ign_eof",
                "-sess_out",
                &world.file(version),
            ],
            "GET / HTTP/1.1\r\n\r\n",
        );
        assert!(!said.contains("TLS session ticket:"), "{said}");
        // It writes no file: there is nothing to resume, by a ticket or by the number of a session.
        let file = world.file(version);
        assert!(!std::path::Path::new(&file).exists(), "{version}");
    }
    let resumed = |version: &str| {
        world.edge.metric(&format!(
            "ravelin_edge_tls_handshakes_total{{listener=\"api\",resumed=\"yes\",version=\"{version}\"}}"
        ))
    };
    assert_eq!(resumed("1.2") + resumed("1.3"), 0.0);
}

#[test]
fn keys_outlive_reloads_and_end_when_their_terms_change() {
    requires!(Tool("openssl"));
    let first = "tickets = { rotate = \"1h\" }";
    let world = world("tickets-reload", first);
    let reload = |tickets: &str, limits: &str| {
        world
            .edge
            .write_policy(&policy(world.backend.address(), tickets, limits));
        world.edge.reload().expect("the policy loads");
    };
    for version in VERSIONS {
        world.new_session(version);
        reload(first, "idle_timeout = \"10m\"");
        assert!(world.resumes(version), "{version}: something else has changed");
        reload("tickets = { rotate = \"2h\" }", "");
        assert!(!world.resumes(version), "{version}: the terms have changed");
        reload("tickets = \"off\"", "");
        assert!(!world.resumes(version), "{version}: there are none any more");
        reload(first, "");
        assert!(!world.resumes(version), "{version}: old keys do not come back");
    }
}

#[test]
fn a_ticket_of_one_listener_is_nothing_to_another() {
    requires!(Tool("openssl"));
    let backend = Backend::http("");
    let both = policy(backend.address(), "", "");
    let second = both
        .split("[[upstream]]")
        .next()
        .expect("a listener")
        .replace("\"api\"", "\"other\"");
    let edge = Edge::start(
        "tickets-two",
        &format!("{both}{second}"),
        &[("api", &Authority::new().issue(&[NAME]))],
    );
    let world = World { edge, backend };
    for version in VERSIONS {
        world.new_session(version);
        let arguments = [version, "-servername", NAME, "-sess_in", &world.file(version)];
        let said = s_client(world.edge.address("other"), &arguments, "");
        assert!(said.contains("New, TLSv1"), "{version}: {said}");
        assert!(world.resumes(version), "{version}");
    }
}
