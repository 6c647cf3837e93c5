//! OpenSSL, curl, GnuTLS and rustls.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use ravelin_tests::client::{self, s_client};
use ravelin_tests::requires;
use ravelin_tests::runtime::runtime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, REQUEST, Version, meet};

#[test]
fn openssl() {
    requires!(Tool("openssl"));
    meet("openssl", |world, version, shown| {
        let flag = format!("-tls{}", version.number().replace('.', "_"));
        let ca = world.file("authority.pem");
        let mut arguments = vec![
            &*flag,
            "-servername",
            NAME,
            "-quiet",
            "-verify_return_error",
            "-CAfile",
            &ca,
        ];
        let files = world.files(shown);
        if let Some([cert, key]) = &files {
            arguments.extend(["-cert", cert, "-key", key]);
        }
        s_client(world.edge.address("api"), &arguments, REQUEST)
    });
}

#[test]
fn curl() {
    requires!(Tool("curl"));
    meet("curl", |world, version, shown| {
        let number = version.number();
        let lowest = format!("--tlsv{number}");
        let mut arguments = vec![&*lowest, "--tls-max", number];
        let files = world.files(shown);
        if let Some([cert, key]) = &files {
            arguments.extend(["--cert", cert, "--key", key]);
        }
        let to = world.edge.address("api");
        all(&client::curl(
            world.edge.home(),
            &world.authority,
            to,
            NAME,
            &arguments,
        ))
    });
}

#[test]
fn gnutls() {
    requires!(Tool("gnutls-cli"));
    meet("gnutls", |world, version, shown| {
        let mut command = Command::new("gnutls-cli");
        command
            .arg(format!("--x509cafile={}", world.file("authority.pem")))
            .arg(format!("--sni-hostname={NAME}"))
            .arg(format!("--verify-hostname={NAME}"))
            .arg(format!(
                "--priority=NORMAL:-VERS-ALL:+VERS-TLS{}",
                version.number()
            ))
            .args(["-p", &world.port(), "127.0.0.1"]);
        if let Some([cert, key]) = world.files(shown) {
            command
                .arg(format!("--x509certfile={cert}"))
                .arg(format!("--x509keyfile={key}"));
        }
        talk(&mut command)
    });
}

#[test]
fn rustls() {
    meet("rustls", |world, version, shown| {
        let spoken = match version {
            Version::Tls12 => &rustls::version::TLS12,
            Version::Tls13 => &rustls::version::TLS13,
        };
        let client = client::Client::showing(&world.authority, &[spoken], world.pair(shown));
        let answer = runtime().block_on(async {
            let mut stream = client.connect(world.edge.address("api"), NAME).await?;
            stream.write_all(REQUEST.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.map(|_| answer)
        });
        answer.unwrap_or_else(|error| error.to_string())
    });
}

/// Runs a client that reads the request from its standard input.
#[track_caller]
fn talk(command: &mut Command) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client runs");
    let mut stdin = child.stdin.take().expect("piped");
    // It may have ended already; its output tells.
    let _ended = stdin.write_all(REQUEST.as_bytes());
    drop(stdin);
    all(&child.wait_with_output().expect("the client ends"))
}

/// What it printed, both streams.
pub(super) fn all(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
