//! The metrics endpoint: what Prometheus reads, what it does not tell, and how it stands strangers.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::edge::{Edge, get, request};
use ravelin_tests::pki::Authority;
use ravelin_tests::promtool::check_metrics;
use ravelin_tests::requires;
use ravelin_tests::runtime::runtime;
use ravelin_tests::scene::Scene;

struct World {
    edge: Edge,
    authority: Authority,
    _backend: Backend,
}

fn world(test: &str) -> World {
    let authority = Authority::new();
    let backend = Backend::echo();
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
routes = [{{ sni = "api.example.com", upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[listener.limits]
connections = {{ rate = "10k/s", burst = 10000, over = "delay" }}
concurrent = {{ per_source = 10000 }}
[[upstream]]
name = "app"
servers = ["{}"]
"#,
        backend.address()
    );
    let edge = Edge::start(test, &policy, &[("api", &authority.issue(&["api.example.com"]))]);
    World {
        edge,
        authority,
        _backend: backend,
    }
}

#[test]
fn promtool_finds_nothing_to_say_about_the_live_page() {
    requires!(Tool("promtool"));
    let world = world("metrics-promtool");
    let to = world.edge.address("api");
    runtime()
        .block_on(Client::new(&world.authority).connect(to, "api.example.com"))
        .expect("a session");
    let page = world.edge.metrics();
    check_metrics(&page);
    for name in [
        "ravelin_build_info",
        "ravelin_config_last_reload_successful",
        "ravelin_edge_admitted_total",
        "ravelin_edge_handshake_seconds_count",
        "ravelin_edge_limiter_memory_bound_bytes",
        "ravelin_edge_tls_certificate_not_after_timestamp_seconds",
        "process_open_fds",
        "process_resident_memory_bytes",
    ] {
        assert!(page.contains(&format!("\n{name}")), "no {name} in\n{page}");
    }
}

#[test]
fn promtool_finds_nothing_to_say_about_the_page_of_both_halves() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("promtool"));
    let scene = Scene::new("metrics-both");
    let policy = "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n[metrics]\nbind = \"127.0.0.1:9465\"\n\
                  [[rule]]\nname = \"in\"\naction = \"allow\"\nprotocol = \"udp\"\nports = [5300]\n";
    let _daemon = Daemon::new("metrics-both", Half::Both, policy)
        .inside(&scene.host)
        .started();
    let (status, page) = scene
        .host
        .run(|| get("127.0.0.1:9465".parse().expect("an address"), "/metrics"));
    assert_eq!(status, 200);
    check_metrics(&page);
    for half in ["edge", "filter"] {
        assert!(
            page.contains(&format!(
                "\nravelin_config_last_reload_successful{{half=\"{half}\"}} 1\n"
            )),
            "{page}"
        );
    }
    assert!(
        page.contains("\nravelin_rule_packets_total{rule=\"in\"}"),
        "{page}"
    );
}

#[test]
fn no_client_can_make_a_new_series() {
    let world = world("metrics-cardinality");
    let to = world.edge.address("api");
    let client = Client::new(&world.authority);
    runtime()
        .block_on(client.connect(to, "api.example.com"))
        .expect("a session");
    let before = series(&world.edge);
    runtime().block_on(async {
        for number in 0..2_000_u32 {
            let name = format!("h{:08x}.example.net", number.wrapping_mul(2_654_435_761));
            client.connect(to, &name).await.expect_err("no such name");
        }
    });
    assert_eq!(series(&world.edge), before);
    assert_eq!(world.edge.ended("api", "unknown_name"), 2_000.0);
}

fn series(edge: &Edge) -> Vec<String> {
    let page = edge.metrics();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').expect("a value").0.to_owned())
        .collect()
}

#[test]
fn health_readiness_and_status_answer_and_everything_else_is_refused() {
    let world = world("metrics-paths");
    let to = world.edge.metrics_address();
    assert_eq!(get(to, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(to, "/readyz"), (200, "ready\n".to_owned()));
    let (status, page) = get(to, "/");
    assert_eq!(status, 200);
    assert!(page.contains("listener api on 127.0.0.1:"), "{page}");
    for path in [
        "/metrics/",
        "/metricsx",
        "//metrics",
        "/admin",
        "/..",
        "/%2e",
        "/healthz/../metrics",
    ] {
        assert_eq!(get(to, path).0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let head = format!("{method} /metrics HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(request(to, &head).0, 405, "{method}");
    }
    let (status, body) = request(to, "HEAD /healthz HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!((status, body.as_str()), (200, ""));
}

#[test]
fn large_headers_and_slow_clients_are_closed_and_others_still_served() {
    let world = world("metrics-slow");
    let to = world.edge.metrics_address();
    let head = format!(
        "GET /metrics HTTP/1.1\r\nhost: test\r\nx: {}\r\n\r\n",
        "y".repeat(32 * 1024)
    );
    let (status, _) = request_or_reset(to, &head);
    assert!(matches!(status, None | Some(400..500)), "{status:?}");

    let start = Instant::now();
    let mut slow = TcpStream::connect(to).expect("connect");
    slow.write_all(b"GET /metrics HTTP/1.1\r\nhost:").expect("send");
    slow.set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    assert_eq!(get(to, "/healthz").0, 200);
    let mut answer = Vec::new();
    let _closed_or_reset = slow.read_to_end(&mut answer);
    assert!(
        !String::from_utf8_lossy(&answer).contains(" 200 "),
        "half a request was answered"
    );
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "closed after {:?}",
        start.elapsed()
    );
}

#[test]
fn more_connections_than_scrapers_need_are_turned_away() {
    let world = world("metrics-many");
    let to = world.edge.metrics_address();
    let mut held: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(to).expect("connect"))
        .collect();
    let mut closed = 0;
    for stream in &mut held {
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a timeout");
        let end = stream.read(&mut [0; 1]);
        closed += usize::from(matches!(end, Ok(0)));
    }
    assert!(closed >= 160, "{closed} of 200 closed at once");
    drop(held);
    ravelin_tests::wait::until("room again", Duration::from_secs(20), || {
        let stream = TcpStream::connect(to).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        (&stream)
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n")
            .ok()?;
        let mut answer = [0; 12];
        (&stream).read_exact(&mut answer).ok()?;
        answer.ends_with(b"200").then_some(())
    });
}

fn request_or_reset(to: SocketAddr, request: &str) -> (Option<u16>, String) {
    let mut stream = TcpStream::connect(to).expect("connect");
    // It may be closed before all of it is sent.
    let _closed = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    let _reset = stream.read_to_string(&mut answer);
    (
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()),
        answer,
    )
}
