//! Revocation lists: strict and soft, the whole chain, several lists, and lists that change while the edge runs.

use ravelin_tests::backend::Backend;
use ravelin_tests::pki::{Authority, ClientCertificate, HOUR, Pair};
use ravelin_tests::wait;

use super::{REQUIRED, SOON, TLS13, VERSIONS, World, alert, policy, world};

const CRL: &str = "crl = [\"clients.crl\"]";

fn start(test: &str, backend: &Backend, settings: &str, list: impl FnOnce(&Authority) -> String) -> World {
    let clients = Authority::named("Ravelin test clients");
    let list = list(&clients);
    let policy = policy(backend.address(), &format!("{REQUIRED}, {settings}"));
    world(test, &policy, clients, &[("clients.crl", &list)])
}

fn client(authority: &Authority) -> Pair {
    authority.issue_client(&ClientCertificate::named("billing"))
}

#[test]
fn a_list_past_its_next_update_refuses_all_when_strict_and_the_revoked_when_soft() {
    let backend = Backend::http("let in");
    for (policy, expected) in [("strict", "crl_expired"), ("soft", "accepted_crl_expired")] {
        let clients = Authority::named("Ravelin test clients");
        let (good, revoked) = (client(&clients), client(&clients));
        let old = clients.crl(&[revoked.serial], -2 * HOUR, -HOUR);
        let settings = format!("{REQUIRED}, {CRL}, crl_policy = \"{policy}\"");
        let world = world(
            &format!("auth-crl-old-{policy}"),
            &super::policy(backend.address(), &settings),
            clients,
            &[("clients.crl", &old)],
        );
        for version in VERSIONS {
            assert_eq!(
                world.ask(version, Some(&good)).is_ok(),
                policy == "soft",
                "{policy}"
            );
            assert!(world.ask(version, Some(&revoked)).is_err(), "{policy}");
        }
        world.expect_counted(expected, if policy == "soft" { 2 } else { 4 });
        world.expect_counted("revoked", if policy == "soft" { 2 } else { 0 });
        world.expect_counted("accepted", 0);
    }
}

#[test]
fn a_chain_that_no_list_speaks_about_is_refused_when_strict_and_counted_when_soft() {
    let backend = Backend::http("let in");
    for (policy, expected) in [
        ("strict", "revocation_unknown"),
        ("soft", "accepted_revocation_unknown"),
    ] {
        let root = Authority::named("Ravelin test clients");
        let middle = root.intermediate("Ravelin test team");
        // The root speaks about the intermediate; nobody about the client.
        let list = root.crl(&[], -HOUR, HOUR);
        let settings = format!("{REQUIRED}, {CRL}, crl_policy = \"{policy}\"");
        let world = world(
            &format!("auth-crl-unknown-{policy}"),
            &super::policy(backend.address(), &settings),
            root,
            &[("clients.crl", &list)],
        );
        let pair = client(&middle);
        for version in VERSIONS {
            assert_eq!(
                world.ask(version, Some(&pair)).is_ok(),
                policy == "soft",
                "{policy}"
            );
        }
        world.expect_counted(expected, 2);
    }
}

#[test]
fn an_intermediate_is_revoked_with_all_it_has_issued() {
    let backend = Backend::http("let in");
    for (bundled, policy) in [(false, "soft"), (true, "soft"), (true, "strict")] {
        let root = Authority::named("Ravelin test clients");
        let middle = root.intermediate("Ravelin test team");
        let mut lists = root.crl(&[middle.serial()], -HOUR, HOUR);
        let mut bundle = root.pem();
        if bundled {
            // Trusted for itself it would end every chain, and nobody would ask what the root says of it.
            bundle += &middle.pem();
            lists += &middle.crl(&[], -HOUR, HOUR);
        }
        let settings = format!("{REQUIRED}, {CRL}, crl_policy = \"{policy}\"");
        let world = world(
            &format!("auth-crl-middle-{bundled}-{policy}"),
            &super::policy(backend.address(), &settings),
            root,
            &[("clients.crl", &lists), ("clients.pem", &bundle)],
        );
        let pair = client(&middle);
        let mut alone = pair.clone();
        let end = alone
            .cert
            .find("-----END CERTIFICATE-----\n")
            .expect("a certificate")
            + 26;
        alone.cert.truncate(end);
        for version in VERSIONS {
            let refused = alert(world.ask(version, Some(&pair)));
            assert_eq!(u8::from(refused), 44, "bundled: {bundled}, {policy}");
            assert!(
                world.ask(version, Some(&alone)).is_err(),
                "bundled: {bundled}, {policy}"
            );
        }
    }
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn what_any_list_of_an_issuer_names_is_revoked() {
    let backend = Backend::http("let in");
    for (policy, order) in [("strict", [0, 1, 2]), ("soft", [2, 1, 0])] {
        let clients = Authority::named("Ravelin test clients");
        let (older, newer, partial) = (client(&clients), client(&clients), client(&clients));
        let good = client(&clients);
        // rustls would look into one of them alone, and finds that the last is not about certificates without a distribution
        // point (RUSTSEC-2026-0049).
        let lists = [
            clients.crl(&[older.serial], -2 * HOUR, HOUR),
            clients.crl(&[newer.serial], -HOUR, HOUR),
            clients.partial_crl(&[partial.serial], "http://lists.example.com/1.crl"),
        ];
        let text: String = order.map(|index| lists[index].as_str()).concat();
        let settings = format!("{REQUIRED}, {CRL}, crl_policy = \"{policy}\"");
        let world = world(
            &format!("auth-crl-several-{policy}"),
            &super::policy(backend.address(), &settings),
            clients,
            &[("clients.crl", &text)],
        );
        for (pair, which) in [(&older, "older"), (&newer, "newer"), (&partial, "partial")] {
            let refused = alert(world.ask(TLS13, Some(pair)));
            assert_eq!(u8::from(refused), 44, "{policy} {which}");
        }
        assert!(world.ask(TLS13, Some(&good)).is_ok(), "{policy}");
    }
}

#[test]
fn a_list_that_changes_is_read_without_being_told() {
    let backend = Backend::http("let in");
    let world = start("auth-crl-live", &backend, CRL, |clients| {
        clients.crl(&[], -HOUR, HOUR)
    });
    let pair = client(&world.clients);
    assert!(world.ask(TLS13, Some(&pair)).is_ok());
    let list = world.clients.crl(&[pair.serial], -HOUR, HOUR);
    world.edge.home().write("clients.crl", &list);
    wait::until("the client to be refused", SOON, || {
        world.ask(TLS13, Some(&pair)).err()
    });
    assert_eq!(u8::from(alert(world.ask(TLS13, Some(&pair)))), 44);
    // And the other way: taken off the list.
    world
        .edge
        .home()
        .write("clients.crl", &world.clients.crl(&[], -HOUR, HOUR));
    wait::until("the client to be let in", SOON, || {
        world.ask(TLS13, Some(&pair)).ok()
    });
    // Another authority.
    let others = Authority::named("Ravelin test others");
    world.edge.home().write("clients.pem", &others.pem());
    world
        .edge
        .home()
        .write("clients.crl", &others.crl(&[], -HOUR, HOUR));
    wait::until("the new authority to be trusted", SOON, || {
        world.ask(TLS13, Some(&client(&others))).ok()
    });
    assert_eq!(u8::from(alert(world.ask(TLS13, Some(&pair)))), 48);
}
