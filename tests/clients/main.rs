//! Six TLS stacks as clients of the edge, one-way and two-way, each in the versions it can be told to speak.
//!
//! A client is a function: how it is called, and what it prints. Who proves who they are is a parameter.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod browser;
mod nss;
mod stacks;

use std::time::Duration;

use ravelin_tests::backend::Backend;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::{Authority, ClientCertificate, Pair};
use ravelin_tests::wait;

const NAME: &str = "api.example.com";
const BODY: &str = "hello from behind";
const REQUEST: &str = "GET / HTTP/1.1\r\nhost: api.example.com\r\n\r\n";
const SOON: Duration = Duration::from_secs(30);

/// Who proves who they are.
#[derive(Clone, Copy, Debug)]
enum Authentication {
    /// The server alone.
    OneWay,
    /// The client too.
    TwoWay,
}

impl Authentication {
    /// What clients come with, and as what the edge counts them; `None` where it does not ask.
    fn visits(self) -> &'static [(Shown, Option<&'static str>)] {
        match self {
            Self::OneWay => &[(Shown::Nothing, None)],
            Self::TwoWay => &[
                (Shown::Nothing, Some("no_certificate")),
                (Shown::Strangers, Some("unknown_ca")),
                (Shown::Namesakes, Some("other")),
                (Shown::Good, Some("accepted")),
            ],
        }
    }
}

/// What a client has to show when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    /// A certificate of the authority that the edge trusts.
    Good,
    /// One of another authority.
    Strangers,
    /// One of another authority with the same name: it takes the signature to tell.
    Namesakes,
}

impl Shown {
    /// The name of its files.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Good => Some("good"),
            Self::Strangers => Some("strangers"),
            Self::Namesakes => Some("namesakes"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Version {
    Tls12,
    Tls13,
}

const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

impl Version {
    fn number(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// The edge, who vouches for it, and what clients can show: in the folder of its policy are `authority.pem`, `<name>.pem`, `<name>.key` and
/// `request`.
struct World {
    edge: Edge,
    authority: Authority,
    pairs: [(Shown, Pair); 3],
    backend: Backend,
}

fn world(test: &str, authentication: Authentication) -> World {
    let backend = Backend::http(BODY);
    let authority = Authority::new();
    let clients = Authority::named("Ravelin test clients");
    let pairs = [
        (Shown::Good, &clients),
        (Shown::Strangers, &Authority::named("Somebody else")),
        (Shown::Namesakes, &Authority::named("Ravelin test clients")),
    ]
    .map(|(shown, authority)| {
        (
            shown,
            authority.issue_client(&ClientCertificate::named("billing")),
        )
    });
    let settings = match authentication {
        Authentication::OneWay => "",
        Authentication::TwoWay => "client_auth = { mode = \"required\", ca = \"clients.pem\" }",
    };
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
routes = [{{ sni = "{NAME}", upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
{settings}
[[upstream]]
name = "app"
servers = ["{}"]
"#,
        backend.address()
    );
    let own = authority.issue_as_in_public(&[NAME]);
    let mut files = vec![("api", &own)];
    files.extend(
        pairs
            .iter()
            .filter_map(|(shown, pair)| Some((shown.name()?, pair))),
    );
    let edge = Edge::start_with(
        &format!("clients-{test}-{authentication:?}"),
        &policy,
        &files,
        &[
            ("authority.pem", &authority.pem()),
            ("clients.pem", &clients.pem()),
            ("request", REQUEST),
        ],
    );
    World {
        edge,
        authority,
        pairs,
        backend,
    }
}

impl World {
    fn port(&self) -> String {
        self.edge.address("api").port().to_string()
    }

    fn file(&self, name: &str) -> String {
        self.edge.home().directory().join(name).display().to_string()
    }

    fn pair(&self, shown: Shown) -> Option<&Pair> {
        let mut pairs = self.pairs.iter();
        pairs.find_map(|(of, pair)| (*of == shown).then_some(pair))
    }

    /// The files of what is shown: certificate and key.
    fn files(&self, shown: Shown) -> Option<[String; 2]> {
        let name = shown.name()?;
        Some(["pem", "key"].map(|kind| self.file(&format!("{name}.{kind}"))))
    }

    /// Waits until a series of the edge has this value: what the client says of itself is one thing.
    #[track_caller]
    fn counted(&self, series: &str, value: f64) {
        wait::until(&format!("{series} to be {value}"), SOON, || {
            (self.edge.metric(series) == value).then_some(())
        });
    }
}

/// The series of clients that were judged so.
fn judged(result: &str) -> String {
    format!("ravelin_edge_client_auth_total{{listener=\"api\",result=\"{result}\"}}")
}

/// How a client is called for one request; the answer, if it got one, is in what it returns.
type Client = fn(&World, Version, Shown) -> String;

/// The client is served in each version, and only when it has shown what it is asked for.
#[track_caller]
fn meet(test: &str, client: Client) {
    for authentication in [Authentication::OneWay, Authentication::TwoWay] {
        let world = world(test, authentication);
        for (round, version) in (1..).zip(VERSIONS) {
            for (shown, result) in authentication.visits() {
                let said = client(&world, version, *shown);
                let expected = matches!(result, None | Some("accepted"));
                let context = format!("{authentication:?}, {version:?}, {shown:?}: {said}");
                assert_eq!(said.contains(BODY), expected, "{context}");
                if let Some(result) = result {
                    world.counted(&judged(result), f64::from(round));
                }
            }
            let series = format!(
                "ravelin_edge_tls_handshakes_total{{listener=\"api\",resumed=\"no\",version=\"{}\"}}",
                version.number()
            );
            world.counted(&series, 1.0);
        }
        // One for each version: nobody that was refused got further.
        assert_eq!(world.backend.accepted(), VERSIONS.len(), "{authentication:?}");
    }
}
