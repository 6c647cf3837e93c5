//! Chromium without a window. It offers the post-quantum key exchange by itself, and can no longer be held below TLS 1.3.

use std::fs;
use std::process::{Command, Stdio};

use ravelin_tests::{requires, wait};

use super::{Authentication, BODY, NAME, SOON, database, world};

#[test]
fn chromium_makes_a_post_quantum_handshake() {
    requires!(Tool("chromium-headless-shell"), Tool("certutil"));
    let world = world("clients-chromium", Authentication::OneWay);
    // Where it looks for what its user trusts.
    database(&world, ".pki/nssdb");
    let output = Command::new("chromium-headless-shell")
        .args([
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--timeout=20000",
        ])
        .arg(format!("--host-resolver-rules=MAP {NAME} 127.0.0.1"))
        .arg(format!("--user-data-dir={}", world.file("chromium")))
        .arg(format!("--log-net-log={}", world.file("network.json")))
        .arg("--dump-dom")
        .arg(format!("https://{NAME}:{}/", world.port()))
        .env("HOME", world.edge.home().directory())
        .stdin(Stdio::null())
        .output()
        .expect("the browser runs");
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(
        page.contains(BODY),
        "{page}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // What both sides say of it: 4588 is X25519MLKEM768 (RFC 9846's registry of groups).
    let log = fs::read_to_string(world.file("network.json")).expect("the browser's log");
    assert!(
        log.contains("\"key_exchange_group\":4588"),
        "no post-quantum group in the browser's log"
    );
    let series = "ravelin_edge_tls_key_exchanges_total{group=\"x25519mlkem768\",listener=\"api\"}";
    wait::until("it to be counted", SOON, || {
        (world.edge.metric(series) >= 1.0).then_some(())
    });
}
