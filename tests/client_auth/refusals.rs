//! Files that cannot be judged by, and the text of each refusal.

use ravelin_tests::backend::Backend;
use ravelin_tests::pki::{Authority, ClientCertificate, HOUR};

use super::{REQUIRED, TLS13, policy, world};

#[test]
fn files_that_mean_something_else_are_refused_and_the_last_good_ones_stay() {
    let backend = Backend::http("let in");
    let clients = Authority::named("Ravelin test clients");
    let settings = format!("{REQUIRED}, crl = \"clients.crl\"");
    let good_list = clients.crl(&[], -HOUR, HOUR);
    let good_bundle = clients.pem();
    let world = world(
        "auth-files",
        &policy(backend.address(), &settings),
        clients,
        &[("clients.crl", &good_list)],
    );
    let pair = world.clients.issue_client(&ClientCertificate::named("billing"));
    let stranger = Authority::named("Somebody else");
    let namesake = Authority::named("Ravelin test clients");
    let middle = world.clients.intermediate("Ravelin test team");
    let two_lists = good_list.clone() + &good_list;
    let in_the_marker = &two_lists[..good_list.len() + 14];
    let stranger_list = stranger.crl(&[], -HOUR, HOUR);
    let namesake_list = namesake.crl(&[], -HOUR, HOUR);
    let no_list = "-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----\n";
    let rows: [(&str, &str, &str); 8] = [
        ("clients.pem", &pair.cert, "is not an authority's"),
        ("clients.pem", &pair.key, "no certificate in"),
        ("clients.pem", &middle.pem(), "is not signed by an authority of"),
        ("clients.crl", &good_bundle, "no revocation list in"),
        ("clients.crl", &stranger_list, "is not signed by an authority of"),
        ("clients.crl", &namesake_list, "is not signed by an authority of"),
        ("clients.crl", in_the_marker, "not a whole PEM file"),
        ("clients.crl", no_list, "revocation list 1 in"),
    ];
    let home = world.edge.home();
    for (file, text, message) in rows {
        home.write(file, text);
        let error = world.edge.reload().expect_err("it does not load");
        assert!(
            error.contains(message) && error.contains(file) && error.contains("`api`"),
            "{file}: {error}"
        );
        assert!(world.ask(TLS13, Some(&pair)).is_ok(), "the last good ones serve");
        assert!(world.ask(TLS13, None).is_err(), "the last good ones serve");
        home.write("clients.pem", &good_bundle);
        home.write("clients.crl", &good_list);
        world.edge.reload().expect("the good ones are back");
    }
}
