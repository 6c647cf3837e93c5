//! Hand-made handshakes against the edge, one hostile connection at a time: `hostile.py` holds the cases.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ravelin_tests::backend::Backend;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::requires;
use ravelin_tests::requires::python;

#[test]
fn every_hostile_handshake_ends_as_expected_and_harms_nobody() {
    requires!(PythonModule("tlslite"));
    let panics = Arc::new(AtomicUsize::new(0));
    let (counting, shown) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        counting.fetch_add(1, Ordering::Relaxed);
        shown(panic);
    }));
    let backend = Backend::echo();
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
routes = [{{ upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[listener.limits]
handshake_timeout = "3s"
[[upstream]]
name = "app"
servers = ["{}"]
"#,
        backend.address()
    );
    let pair = Authority::new().issue(&["api.example.com"]);
    let edge = Edge::start("hostile", &policy, &[("api", &pair)]);
    let output = Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile/hostile.py"))
        .arg(edge.address("api").port().to_string())
        .arg(edge.metrics_address().port().to_string())
        .stdin(Stdio::null())
        .output()
        .expect("Python runs");
    let table = String::from_utf8_lossy(&output.stdout);
    eprintln!("{table}");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{table}\n{complaints}");
    let cases = table.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(cases >= 40, "{cases} cases");
    assert_eq!(panics.load(Ordering::Relaxed), 0, "something panicked");
}
