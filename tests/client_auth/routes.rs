//! Each route asks for itself.

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::pki::{Authority, ClientCertificate};

use super::{VERSIONS, ask, policy_of, world};

#[test]
fn a_route_raises_and_lowers_what_the_listener_asks() {
    let backend = Backend::http("let in");
    for (listener, none, required) in [("required", "open", "api"), ("none", "api", "closed")] {
        let routes = "{ sni = \"open.example.com\", upstream = \"app\", client_auth = \"none\" }, { sni = \"closed.example.com\", upstream = \
                      \"app\", client_auth = \"required\" }, { sni = \"maybe.example.com\", upstream = \"app\", client_auth = \"optional\" }, \
                      { upstream = \"app\" }";
        let auth = format!("mode = \"{listener}\", ca = \"clients.pem\"");
        let world = world(
            &format!("auth-routes-{listener}"),
            &policy_of(routes, backend.address(), &auth),
            Authority::named("Ravelin test clients"),
            &[],
        );
        let to = world.edge.address("api");
        let pair = world.clients.issue_client(&ClientCertificate::named("billing"));
        for version in VERSIONS {
            let bare = Client::showing(&world.servers, version.0, None);
            let good = Client::showing(&world.servers, version.0, Some(&pair));
            for name in [none, "open", "maybe"] {
                let answer = ask(&bare, to, &format!("{name}.example.com"));
                assert!(answer.is_ok(), "{listener} {name}: {answer:?}");
            }
            for name in [required, "closed"] {
                let name = format!("{name}.example.com");
                assert!(ask(&bare, to, &name).is_err(), "{listener} {name}");
                assert!(ask(&good, to, &name).is_ok(), "{listener} {name}");
            }
        }
    }
}
