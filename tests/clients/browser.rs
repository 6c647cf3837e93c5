//! Chromium without a window. It offers the post-quantum key exchange by itself, and can no longer be held below TLS 1.3.
//!
//! It is the whole browser: `chromium-headless-shell` reads no policies and never shows a certificate.

use std::fs;
use std::process::{Command, Stdio};

use ravelin_tests::{requires, wait};

use super::nss::database;
use super::stacks::all;
use super::{Authentication, BODY, NAME, SOON, Shown, World, judged, world};

#[test]
fn chromium_makes_a_post_quantum_handshake() {
    requires!(Tool("chromium"), Tool("certutil"));
    let world = world("chromium", Authentication::OneWay);
    let said = browse(&world, Shown::Nothing, Command::new("chromium"));
    assert!(said.contains(BODY), "{said}");
    // What both sides say of it: 4588 is X25519MLKEM768 (RFC 9846's registry of groups).
    let log = fs::read_to_string(log(&world, Shown::Nothing)).expect("the browser's log");
    assert!(
        log.contains("\"key_exchange_group\":4588"),
        "no post-quantum group in the browser's log"
    );
    let series = "ravelin_edge_tls_key_exchanges_total{group=\"x25519mlkem768\",listener=\"api\"}";
    wait::until("it to be counted", SOON, || {
        (world.edge.metric(series) >= 1.0).then_some(())
    });
}

#[test]
fn chromium_shows_its_certificate() {
    requires!(
        Root,
        Tool("chromium"),
        Tool("unshare"),
        Tool("certutil"),
        Tool("pk12util"),
        Tool("openssl")
    );
    let world = world("chromium", Authentication::TwoWay);
    // Without this it asks its user which certificate to show, and without a window shows none.
    world.edge.home().write(
        "etc/policies/managed/select.json",
        &format!(
            r#"{{"AutoSelectCertificateForUrls": ["{{\"pattern\": \"https://{NAME}\", \"filter\": {{}}}}"]}}"#
        ),
    );
    for (shown, result) in [
        // It picks by the authorities that the edge names: this one stays at home.
        (Shown::Strangers, "no_certificate"),
        (Shown::Namesakes, "other"),
        (Shown::Nothing, "no_certificate"),
        (Shown::Good, "accepted"),
    ] {
        let before = world.edge.metric(&judged(result));
        // Policies are the machine's, so it gets a view of its own of the machine.
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/chromium && exec \"$@\"")
            .args([&world.file("etc"), "chromium"]);
        let said = browse(&world, shown, command);
        // The one that is let in comes last.
        let good = shown == Shown::Good;
        assert_eq!(said.contains(BODY), good, "{shown:?}: {said}");
        assert_eq!(world.backend.accepted() > 0, good, "{shown:?}");
        // It tries more than once before it gives up.
        wait::until(&format!("{shown:?} to be counted as {result}"), SOON, || {
            (world.edge.metric(&judged(result)) > before).then_some(())
        });
    }
    assert_eq!(world.edge.metric(&judged("unknown_ca")), 0.0);
}

/// One page, by a user who is new to the browser; `command` starts it. What it prints.
#[track_caller]
fn browse(world: &World, shown: Shown, mut command: Command) -> String {
    let home = home(shown);
    // Where it looks for what its user trusts and shows.
    database(world, &format!("{home}/.pki/nssdb"), shown);
    let output = command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--timeout=20000",
        ])
        .arg(format!("--host-resolver-rules=MAP {NAME} 127.0.0.1"))
        .arg(format!(
            "--user-data-dir={}",
            world.file(&format!("{home}/chromium"))
        ))
        .arg(format!("--log-net-log={}", log(world, shown)))
        .arg("--dump-dom")
        .arg(format!("https://{NAME}:{}/", world.port()))
        .env("HOME", world.file(&home))
        .stdin(Stdio::null())
        .output()
        .expect("the browser runs");
    all(&output)
}

/// The folder of a user with this to show.
fn home(shown: Shown) -> String {
    format!("{shown:?}").to_lowercase()
}

/// What the browser writes down of its connections.
fn log(world: &World, shown: Shown) -> String {
    world.file(&format!("{}/network.json", home(shown)))
}
