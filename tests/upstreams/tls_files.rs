//! The files of `tls`: one that cannot be used changes nothing, one that is replaced is taken.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use ravelin_tests::backend::Backend;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;

use super::peers::tls_server;
use super::{SOON, World, policy};

const SUCCESSFUL: &str = "ravelin_config_last_reload_successful{half=\"edge\"}";
const MUTUAL: &str = "tls = { server_name = \"app.internal\", ca = \"internal.pem\", cert = \"edge.pem\", key = \"edge.key\" }";

fn world(test: &str, authority: &Authority, server: &Backend) -> World {
    let own = authority.issue(&["edge.internal"]);
    World::with_files(
        test,
        &[
            ("internal.pem", &authority.pem()),
            ("edge.pem", &own.cert),
            ("edge.key", &own.key),
        ],
        &policy(&[server.address()], MUTUAL),
    )
}

#[track_caller]
fn serves(world: &World) {
    let answer = runtime().block_on(world.ask(b"echo")).expect("it is served");
    assert_eq!(answer, "echo");
}

#[test]
fn a_file_that_does_not_load_keeps_the_last_good_ones_and_says_so() {
    let authority = Authority::new();
    let (server, _) = tls_server(&authority.issue(&["app.internal"]), Some(&authority), &[]);
    let world = world("up-files-bad", &authority, &server);
    serves(&world);
    let other = authority.issue(&["edge.internal"]);
    let pem = authority.pem();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    // The second authority is one that nobody would miss here, and half of it must not pass for a file that has one.
    let two = format!("{pem}{}", Authority::new().pem());
    let cut_at_the_begin = format!("{pem}-----BEG");
    let cut_at_the_end = two.trim_end().trim_end_matches('-');
    let faults: [(&str, Option<&str>, &str); 13] = [
        ("internal.pem", None, "cannot read"),
        ("internal.pem", Some(""), "no certificate in"),
        ("internal.pem", Some(&other.key), "no certificate in"),
        (
            "internal.pem",
            Some(&pem[..pem.len() / 2]),
            "not a whole PEM file",
        ),
        ("internal.pem", Some(&cut_at_the_begin), "not a whole PEM file"),
        ("internal.pem", Some(cut_at_the_end), "not a whole PEM file"),
        ("internal.pem", Some(garbage), "cannot be trusted as an authority"),
        ("edge.pem", None, "cannot read"),
        ("edge.pem", Some(""), "no certificate in"),
        ("edge.pem", Some(&other.cert), "does not belong to"),
        ("edge.key", None, "cannot read"),
        ("edge.key", Some(""), "no private key in"),
        ("edge.key", Some(&other.key), "does not belong to"),
    ];
    for (file, text, message) in faults {
        let path = world.edge.home().directory().join(file);
        let good = std::fs::read_to_string(&path).expect("the good file");
        match text {
            Some(text) => world.edge.home().write(file, text),
            None => std::fs::remove_file(&path).expect("the file goes away"),
        }
        let error = world.edge.reload().expect_err("it does not load");
        assert!(
            error.contains(message) && error.contains("upstream `app`") && error.contains(file),
            "{file}: {error}"
        );
        assert_eq!(world.edge.metric(SUCCESSFUL), 0.0);
        serves(&world);
        world.edge.home().write(file, &good);
        world.edge.reload().expect("the good file is back");
        assert_eq!(world.edge.metric(SUCCESSFUL), 1.0);
    }
    // What a listener can say of its keys, an upstream cannot.
    let key = world.edge.home().directory().join("edge.key");
    let mode = |mode| std::fs::set_permissions(&key, Permissions::from_mode(mode)).expect("chmod");
    mode(0o644);
    let error = world.edge.reload().expect_err("the key is open");
    assert!(
        error.contains("edge.key` is open to other users of this host (mode 644)")
            && error.contains("chmod 640")
            && !error.contains("strict_permissions"),
        "{error}"
    );
    serves(&world);
    mode(0o640);
    world.edge.reload().expect("the key is closed");
    // A new upstream that cannot be used leaves no series behind.
    let more = policy(&[server.address()], MUTUAL)
        + "[[upstream]]\nname = \"second\"\nservers = [\"127.0.0.1:9\"]\ntls = { server_name = \"a.internal\", ca = \"api.key\" }\n";
    world.edge.write_policy(&more);
    world.edge.reload().expect_err("it does not load");
    assert!(!world.edge.metrics().contains("\"second\""));
    serves(&world);
}

#[test]
fn replaced_files_are_taken_without_being_told() {
    let (authority, next) = (Authority::new(), Authority::new());
    let (old_server, _) = tls_server(&authority.issue(&["app.internal"]), Some(&authority), &[]);
    let (new_server, seen) = tls_server(&next.issue(&["app.internal"]), Some(&next), &[]);
    let world = world("up-files-watch", &authority, &old_server);
    serves(&world);
    let servers = [new_server.address()];
    world.edge.write_policy(&policy(&servers, MUTUAL));
    world.edge.reload().expect("the policy loads");
    world.answer().expect_err("nobody vouches for the new server yet");
    let own = next.issue(&["edge.internal"]);
    world.edge.home().write("internal.pem", &next.pem());
    world.edge.write_pair("edge", &own);
    wait::until("the new files to be used", SOON, || {
        runtime()
            .block_on(world.ask(b"echo"))
            .is_ok_and(|answer| answer == "echo")
            .then_some(())
    });
    let seen = seen.lock().expect("unbroken");
    let shown = seen
        .sessions
        .last()
        .and_then(|session| session.client_certificate.clone());
    assert_eq!(shown, Some(own.der.to_vec()));
}
