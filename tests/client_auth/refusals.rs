//! Files that cannot be judged by, and the text of each refusal.

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::netns::Namespace;
use ravelin_tests::pki::{Authority, ClientCertificate, HOUR};
use ravelin_tests::{requires, wait};
use tokio::runtime::Builder;

use super::{NAME, REQUIRED, SOON, TLS13, policy, world};

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

#[test]
fn the_log_tells_who_was_refused_and_why_on_one_line() {
    requires!(Root, NetworkNamespaces);
    let namespace = Namespace::new("auth-log", "edge");
    let auth = format!("{REQUIRED}, allow_cn = [\"billing\"]");
    let policy =
        policy("127.0.0.1:1".parse().expect("an address"), &auth).replace("127.0.0.1:0", "127.0.0.1:443");
    let daemon = Daemon::new("auth-log", Half::Edge, &policy).inside(&namespace);
    let (servers, clients) = (
        Authority::named("Ravelin test servers"),
        Authority::named("Ravelin test clients"),
    );
    let pair = servers.issue(&[NAME]);
    let files = [
        ("api.pem", &pair.cert),
        ("api.key", &pair.key),
        ("clients.pem", &clients.pem()),
    ];
    for (name, text) in files {
        daemon.home().write(name, text);
    }
    let daemon = daemon.started();
    let hostile =
        ClientCertificate::named("guest\nINFO all is well\u{202e}\u{2028}x").uri("spiffe://acme/guest");
    let client = Client::showing(&servers, TLS13.0, Some(&clients.issue_client(&hostile)));
    namespace.run(|| {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let to = "127.0.0.1:443".parse().expect("an address");
        // In TLS 1.3 a client is done before it hears that it is refused.
        let _done = runtime.block_on(client.connect(to, NAME));
    });
    let line = wait::until("the line", SOON, || {
        let logs = daemon.logs();
        let line = logs
            .lines()
            .find(|line| line.contains("client refused by its certificate"));
        line.map(str::to_owned)
    });
    for part in [
        "listener=\"api\"",
        "client=127.0.0.1:",
        NAME,
        "reason=\"not_allowed\"",
        "uri:spiffe://acme/guest",
        "guest\\",
        "u{202e}",
        "u{2028}",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(!line.contains(['\u{202e}', '\u{2028}']), "{line}");
    assert!(
        !daemon
            .logs()
            .lines()
            .any(|line| line.starts_with("INFO all is well"))
    );
}
