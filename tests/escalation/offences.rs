//! What counts as an offence, and what does not: the edge with real clients, and a test at the other end of its queue of bans.

use std::net::SocketAddr;
use std::time::Duration;

use ravelin_daemon::transport::{BanQueue, BanWish};
use ravelin_tests::backend::Backend;
use ravelin_tests::client::{Client, connect_from};
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::{Authority, Pair};
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::{NAME, SOON};

struct World {
    edge: Edge,
    wishes: Receiver<BanWish>,
    authority: Authority,
    backend: Backend,
}

const LIMITS: &str = "handshake_timeout = \"400ms\"\nconnections = { rate = \"1/h\", burst = 3 }\nconcurrent = { per_source = 2 }\n";

fn policy(server: SocketAddr, limits: &str) -> String {
    format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
deny = ["127.0.0.66"]
routes = [{{ sni = "{NAME}", upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[listener.limits]
{limits}
[[upstream]]
name = "app"
servers = ["{server}"]
"#
    )
}

fn world(test: &str, limits: &str) -> World {
    let (bans, wishes) = BanQueue::bounded();
    let authority = Authority::new();
    let backend = Backend::echo();
    let pair: Pair = authority.issue(&[NAME]);
    let policy = policy(backend.address(), limits);
    World {
        edge: Edge::start_asking(test, &policy, &[("api", &pair)], bans),
        wishes,
        authority,
        backend,
    }
}

impl World {
    fn to(&self) -> SocketAddr {
        self.edge.address("api")
    }

    #[track_caller]
    fn wish(&mut self) -> BanWish {
        let wish = runtime().block_on(async { timeout(SOON, self.wishes.recv()).await });
        wish.expect("a wish in time").expect("a wish")
    }

    fn offences(&self, offence: &str) -> f64 {
        self.edge.metric(&format!(
            "ravelin_edge_offences_total{{listener=\"api\",offence=\"{offence}\"}}"
        ))
    }

    fn bans(&self, result: &str) -> f64 {
        self.edge.metric(&format!(
            "ravelin_edge_bans_total{{listener=\"api\",result=\"{result}\"}}"
        ))
    }

    /// Sends `bytes` from an address, and waits for the end.
    fn say(&self, from: &str, bytes: &[u8], then: Then) {
        runtime().block_on(async {
            // Who is refused may be reset before the last step of connecting is noticed.
            let Ok(mut stream) = connect_from(from, self.to()).await else {
                return;
            };
            let _reset = stream.write_all(bytes).await;
            if then == Then::HangUp {
                let _reset = stream.shutdown().await;
            }
            end_of(&mut stream).await;
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    HangUp,
    Wait,
}

async fn end_of(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let ended = timeout(SOON, stream.read_to_end(&mut rest)).await;
    let _reset_or_end = ended.expect("the edge ends it");
}

#[test]
fn every_kind_of_offence_is_counted_against_the_address_of_the_socket_and_named_in_the_wish() {
    let mut world = world(
        "escalation-kinds",
        &format!("{LIMITS}ban = {{ offences = 1, window = \"1m\", for = \"10m\" }}\n"),
    );
    // What the bytes say of an address is nobody's address.
    let proxied = b"PROXY TCP4 203.0.113.9 192.0.2.1 1 443\r\n";
    let spoken: [(&str, &[u8], Then, &str); 5] = [
        (
            "127.0.0.2",
            b"GET / HTTP/1.1\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n",
            Then::Wait,
            "not_tls",
        ),
        ("127.0.0.3", proxied, Then::Wait, "not_tls"),
        ("127.0.0.4", b"\x16\x03\x01\x02\x00\x01", Then::HangUp, "hung_up"),
        (
            "127.0.0.5",
            b"\x16\x03\x01\x00\x05hello",
            Then::Wait,
            "handshake_failed",
        ),
        ("127.0.0.6", b"", Then::Wait, "handshake_timeout"),
    ];
    for (from, bytes, then, offence) in spoken {
        world.say(from, bytes, then);
        expect(&mut world, from, offence);
    }

    let client = Client::new(&world.authority);
    let to = world.to();
    let unknown = runtime().block_on(client.connect_from("127.0.0.7", to, "other.example.com"));
    assert!(unknown.is_err());
    expect(&mut world, "127.0.0.7", "unknown_name");

    world.say("127.0.0.66", b"", Then::Wait);
    expect(&mut world, "127.0.0.66", "address");

    let held = runtime().block_on(async {
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(
                client
                    .connect_from("127.0.0.8", to, NAME)
                    .await
                    .expect("a session"),
            );
        }
        held
    });
    world.say("127.0.0.8", b"", Then::Wait);
    expect(&mut world, "127.0.0.8", "source_connections");
    drop(held);

    // Three that hang up at once, which is no offence, and one that is over the rate.
    for _ in 0..4 {
        world.say("127.0.0.9", b"", Then::HangUp);
    }
    expect(&mut world, "127.0.0.9", "rate");

    assert_eq!(world.offences("not_tls"), 2.0);
    for offence in [
        "hung_up",
        "handshake_failed",
        "handshake_timeout",
        "unknown_name",
        "address",
        "rate",
    ] {
        assert_eq!(world.offences(offence), 1.0, "{offence}");
    }
    assert_eq!(
        world
            .edge
            .metric("ravelin_edge_bans_asked_total{listener=\"api\"}"),
        9.0
    );
    assert_eq!((world.bans("made"), world.bans("lost")), (9.0, 0.0));
    assert_eq!(world.edge.metric("ravelin_edge_offenders{listener=\"api\"}"), 9.0);
}

#[track_caller]
fn expect(world: &mut World, from: &str, offence: &str) {
    let wish = world.wish();
    assert_eq!(
        (wish.prefix().to_string(), wish.reason()),
        (format!("{from}/32"), format!("api: {offence}"))
    );
    assert_eq!(wish.lasts(), Duration::from_secs(600));
    wish.made();
}

#[test]
fn what_visitors_do_and_what_is_our_own_fault_is_no_offence() {
    let limits = "concurrent = { total = 1 }\nban = { offences = 1, window = \"1m\", for = \"10m\" }\n";
    let mut world = world("escalation-innocent", limits);
    let to = world.to();
    world.say("127.0.0.2", b"", Then::HangUp);

    // A client that does not trust our certificate says so.
    let stranger = Client::new(&Authority::new());
    let untrusted = runtime().block_on(stranger.connect_from("127.0.0.3", to, NAME));
    assert!(untrusted.is_err());
    wait::until("the alert to be counted", SOON, || {
        (world.edge.ended("api", "handshake_failed") == 1.0).then_some(())
    });

    let client = Client::new(&world.authority);
    let held = runtime().block_on(async {
        let mut stream = client.connect_from("127.0.0.4", to, NAME).await?;
        stream.write_all(b"x").await?;
        stream.read_exact(&mut [0; 1]).await?;
        std::io::Result::Ok(stream)
    });
    let held = held.expect("a session");
    // Somebody else has filled the listener.
    world.say("127.0.0.5", b"", Then::Wait);
    wait::until("the refusal to be counted", SOON, || {
        (world.edge.ended("api", "refused") == 1.0).then_some(())
    });
    drop(held);
    assert!(world.wishes.try_recv().is_err());
    let page = world.edge.metrics();
    let counted = page
        .lines()
        .filter(|line| line.starts_with("ravelin_edge_offences_total") && !line.ends_with(" 0"));
    assert_eq!(counted.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn offences_are_remembered_over_a_reload_and_count_no_more_when_the_policy_says_so() {
    let ban = "ban = { offences = 2, window = \"1m\", for = \"10m\" }\n";
    let mut world = world("escalation-reload", ban);
    let garbage = b"GET / HTTP/1.1\r\n\r\n";
    let reload = |world: &World, limits: &str| {
        world.edge.write_policy(&policy(world.backend.address(), limits));
        world.edge.reload().expect("a good policy");
    };
    world.say("127.0.0.2", garbage, Then::Wait);
    reload(&world, &format!("idle_timeout = \"1m\"\n{ban}"));
    assert!(world.wishes.try_recv().is_err());
    world.say("127.0.0.2", garbage, Then::Wait);
    world.wish().refused();
    assert_eq!((world.bans("refused"), world.bans("made")), (1.0, 0.0));

    // A connection that began under the old policy ends under one that bans nobody.
    world.say("127.0.0.3", garbage, Then::Wait);
    let mut late = runtime()
        .block_on(connect_from("127.0.0.3", world.to()))
        .expect("a connection");
    let open = "ravelin_edge_open_connections{listener=\"api\"}";
    wait::until("the connection to be accepted", SOON, || {
        (world.edge.metric(open) == 1.0).then_some(())
    });
    reload(&world, "");
    runtime().block_on(async {
        late.write_all(garbage).await.expect("send");
        end_of(&mut late).await;
    });
    wait::until("the offence to be counted", SOON, || {
        (world.offences("not_tls") == 4.0).then_some(())
    });
    assert!(world.wishes.try_recv().is_err());
    assert_eq!(
        world
            .edge
            .metric("ravelin_edge_offenders_capacity{listener=\"api\"}"),
        0.0
    );
}
