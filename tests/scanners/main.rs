//! A listener as it is by default, under three scanners that others wrote: nothing of medium severity or above.
//!
//! What a scanner finds about the test's own surroundings is on a list, with the reason; everything else fails.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::{Command, Stdio};

use ravelin_tests::backend::Backend;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::requires;
use ravelin_tests::requires::python;
use serde_json::Value;

const NAME: &str = "api.example.com";

/// Findings of testssl.sh that are not about the edge.
const NOT_OURS: [(&str, &str); 3] = [
    (
        "cipher_order",
        "the client chooses, as Mozilla recommends: every cipher is strong, and a phone knows what its processor is good at",
    ),
    ("engine_problem", "the scanner's own openssl has no GOST engine"),
    (
        "security_headers",
        "headers are the server's behind the edge: bytes are relayed as they are",
    ),
];

struct World {
    edge: Edge,
    _backend: Backend,
}

fn world(test: &str) -> World {
    let backend = Backend::http("hello");
    let authority = Authority::new();
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
routes = [{{ upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[[upstream]]
name = "app"
servers = ["{}"]
"#,
        backend.address()
    );
    let edge = Edge::start(test, &policy, &[("api", &authority.issue_as_in_public(&[NAME]))]);
    edge.home().write("authority.pem", &authority.pem());
    World {
        edge,
        _backend: backend,
    }
}

impl World {
    fn port(&self) -> u16 {
        self.edge.address("api").port()
    }

    fn file(&self, name: &str) -> String {
        self.edge.home().directory().join(name).display().to_string()
    }

    /// Runs the scanner and reads the report it leaves. Its exit code says nothing.
    fn report(&self, command: &mut Command, file: &str) -> String {
        let output = command.stdin(Stdio::null()).output().expect("the scanner runs");
        let report = fs::read_to_string(self.file(file)).unwrap_or_default();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            !report.is_empty(),
            "no report: {}",
            String::from_utf8_lossy(&said)
        );
        report
    }
}

#[test]
fn sslscan_finds_modern_versions_and_strong_ciphers_alone() {
    requires!(Tool("sslscan"));
    let world = world("scanners-sslscan");
    let report = world.report(
        // It would die, without a word, of the first connection that is closed on it.
        Command::new("env")
            .args(["--ignore-signal=PIPE", "sslscan"])
            .args(["--no-colour", &format!("--sni-name={NAME}")])
            .arg(format!("--xml={}", world.file("report")))
            .arg(format!("127.0.0.1:{}", world.port())),
        "report",
    );
    let with = |start: &str| {
        report
            .lines()
            .map(str::trim)
            .filter(move |line| line.starts_with(start))
            .collect::<Vec<_>>()
    };
    let attribute = |line: &str, name: &str| {
        let value = line
            .split(&format!(" {name}=\""))
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        value.unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
    };
    let enabled: Vec<String> = with("<protocol")
        .iter()
        .filter(|line| attribute(line, "enabled") == "1")
        .map(|line| attribute(line, "version"))
        .collect();
    assert_eq!(enabled, ["1.2", "1.3"], "{report}");
    let ciphers = with("<cipher");
    eprintln!(
        "sslscan: versions {enabled:?}, {} ciphers, {} groups",
        ciphers.len(),
        with("<group").len()
    );
    assert!(ciphers.len() >= 6, "{report}");
    for cipher in ciphers {
        let (name, strength) = (attribute(cipher, "cipher"), attribute(cipher, "strength"));
        eprintln!("  {name} {strength}");
        let forward = name.starts_with("ECDHE-") || name.starts_with("TLS_");
        let sealed = name.contains("GCM") || name.contains("CHACHA20");
        assert!(
            forward && sealed && ["strong", "acceptable"].contains(&strength.as_str()),
            "{cipher}"
        );
    }
    assert!(
        with("<heartbleed")
            .iter()
            .all(|line| attribute(line, "vulnerable") == "0")
    );
    assert!(
        with("<renegotiation")
            .iter()
            .all(|line| attribute(line, "supported") == "0"),
        "{report}"
    );
}

#[test]
fn sslyze_finds_nothing_and_mozillas_intermediate_profile_is_met() {
    requires!(PythonModule("sslyze"));
    let world = world("scanners-sslyze");
    let target = format!("127.0.0.1:{}", world.port());
    let mut command = Command::new(python());
    command.args([
        "-m",
        "sslyze",
        "--mozilla_config=intermediate",
        "--early_data",
        "--resum",
        "--sni",
        NAME,
    ]);
    command
        .arg(format!("--certinfo_ca_file={}", world.file("authority.pem")))
        .arg(format!("--json_out={}", world.file("report")))
        .arg(&target);
    let output = command.stdin(Stdio::null()).output().expect("sslyze runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!("{target}: OK - Compliant.")), "{said}");
    let report = fs::read_to_string(world.file("report")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let results = &report["server_scan_results"][0]["scan_result"];
    // Every answer must be there: a scan that did not run finds nothing either.
    let expected = [
        (
            "/ssl_2_0_cipher_suites/result/is_tls_version_supported",
            Value::from(false),
        ),
        (
            "/ssl_3_0_cipher_suites/result/is_tls_version_supported",
            Value::from(false),
        ),
        (
            "/tls_1_0_cipher_suites/result/is_tls_version_supported",
            Value::from(false),
        ),
        (
            "/tls_1_1_cipher_suites/result/is_tls_version_supported",
            Value::from(false),
        ),
        (
            "/tls_1_2_cipher_suites/result/is_tls_version_supported",
            Value::from(true),
        ),
        (
            "/tls_1_3_cipher_suites/result/is_tls_version_supported",
            Value::from(true),
        ),
        ("/tls_compression/result/supports_compression", Value::from(false)),
        (
            "/tls_1_3_early_data/result/supports_early_data",
            Value::from(false),
        ),
        (
            "/openssl_ccs_injection/result/is_vulnerable_to_ccs_injection",
            Value::from(false),
        ),
        (
            "/tls_fallback_scsv/result/supports_fallback_scsv",
            Value::from(true),
        ),
        (
            "/heartbleed/result/is_vulnerable_to_heartbleed",
            Value::from(false),
        ),
        (
            "/robot/result/robot_result",
            Value::from("NOT_VULNERABLE_RSA_NOT_SUPPORTED"),
        ),
        (
            "/session_renegotiation/result/supports_secure_renegotiation",
            Value::from(true),
        ),
        (
            "/session_renegotiation/result/is_vulnerable_to_client_renegotiation_dos",
            Value::from(false),
        ),
        (
            "/tls_extended_master_secret/result/supports_ems_extension",
            Value::from(true),
        ),
    ];
    for (place, value) in expected {
        let found = results.pointer(place);
        eprintln!("sslyze: {place}: {}", found.unwrap_or(&Value::Null));
        assert_eq!(found, Some(&value), "{place}");
    }
}

#[test]
fn testssl_finds_nothing_of_medium_severity_or_above() {
    requires!(Tool("testssl"));
    let world = world("scanners-testssl");
    let report = world.report(
        Command::new("testssl")
            .args([
                "--warnings",
                "off",
                "--color",
                "0",
                "--nodns",
                "none",
                "--sneaky",
                "--ip",
                "127.0.0.1",
            ])
            .args([
                "--add-ca",
                &world.file("authority.pem"),
                "--jsonfile",
                &world.file("report"),
            ])
            .arg(format!("https://{NAME}:{}", world.port())),
        "report",
    );
    let findings: Vec<Value> = serde_json::from_str(&report).expect("JSON");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let mut open = Vec::new();
    for finding in &findings {
        let (id, severity) = (text(finding, "id"), text(finding, "severity"));
        if ["OK", "INFO", "LOW"].contains(&severity.as_str()) {
            continue;
        }
        let line = format!("{severity} {id}: {}", text(finding, "finding"));
        match NOT_OURS.iter().find(|(known, _)| *known == id) {
            Some((_, reason)) => eprintln!("testssl.sh: {line} (left out: {reason})"),
            None => open.push(line),
        }
    }
    eprintln!("testssl.sh: {} findings, {} open", findings.len(), open.len());
    assert!(open.is_empty(), "{open:#?}");
    // A scan that ended early finds nothing.
    let checks = "SSLv2 SSLv3 TLS1 TLS1_1 heartbleed CCS ticketbleed ROBOT secure_renego secure_client_renego CRIME_TLS POODLE_SSL \
                  fallback_SCSV SWEET32 FREAK DROWN LOGJAM BEAST LUCKY13 RC4 cert_chain_of_trust";
    for check in checks.split_whitespace() {
        let found = findings.iter().find(|finding| text(finding, "id") == check);
        let found = found.unwrap_or_else(|| panic!("{check} was not looked at"));
        assert!(
            ["OK", "INFO"].contains(&text(found, "severity").as_str()),
            "{found}"
        );
    }
}
