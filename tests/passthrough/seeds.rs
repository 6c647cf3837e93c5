//! The hellos that the fuzzer begins with: what real clients say. `RAVELIN_BLESS=1` keeps those of today.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ravelin_daemon::transport::tls::hello::parse;
use ravelin_tests::hello::{captured, in_records};
use ravelin_tests::requires;

use super::{DB, hello};

#[test]
fn the_hellos_of_real_clients_are_read() {
    requires!(Tool("curl"), Tool("openssl"));
    let rustls = hello(DB);
    let crumbs = in_records(&rustls, 100);
    let hellos = [
        (
            "curl",
            run(
                "curl",
                &[
                    "--max-time",
                    "20",
                    "https://db.example.com:PORT/",
                    "--connect-to",
                    "::127.0.0.1:PORT",
                ],
            ),
        ),
        (
            "openssl-1.3",
            run(
                "openssl",
                &[
                    "s_client",
                    "-servername",
                    DB,
                    "-alpn",
                    "h2,http/1.1",
                    "-connect",
                    "127.0.0.1:PORT",
                ],
            ),
        ),
        (
            "openssl-1.2",
            run(
                "openssl",
                &[
                    "s_client",
                    "-tls1_2",
                    "-servername",
                    DB,
                    "-connect",
                    "127.0.0.1:PORT",
                ],
            ),
        ),
        (
            "openssl-1.1",
            run(
                "openssl",
                &[
                    "s_client",
                    "-tls1_1",
                    "-cipher",
                    "DEFAULT@SECLEVEL=0",
                    "-servername",
                    DB,
                    "-connect",
                    "127.0.0.1:PORT",
                ],
            ),
        ),
        ("rustls", rustls),
        ("rustls-in-records", crumbs),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/client_hello");
    for (client, bytes) in hellos {
        let hello = parse(&bytes).unwrap_or_else(|error| panic!("{client}: {error}"));
        assert_eq!(hello.server_name.as_deref(), Some(DB), "{client}");
        let offers_1_3 = hello.versions.contains(&0x0304);
        assert_eq!(
            offers_1_3,
            !matches!(client, "openssl-1.2" | "openssl-1.1"),
            "{client}"
        );
        assert_eq!(hello.legacy_version < 0x0303, client == "openssl-1.1", "{client}");
        if client == "openssl-1.3" || client == "curl" {
            assert_eq!(hello.alpn().next(), Some(&b"h2"[..]), "{client}");
        }
        if std::env::var_os("RAVELIN_BLESS").is_some() {
            fs::write(folder.join(client), &bytes).expect("a seed");
        }
        let seed = fs::read(folder.join(client)).expect("a seed");
        assert_eq!(
            parse(&seed).map(|hello| hello.server_name),
            Ok(Some(DB.to_owned())),
            "{client}"
        );
    }
}

/// The hello of a program whose arguments say `PORT`.
fn run(program: &'static str, arguments: &'static [&'static str]) -> Vec<u8> {
    captured(move |to| {
        let port = to.port().to_string();
        let arguments = arguments.iter().map(|argument| argument.replace("PORT", &port));
        let refused = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        assert!(!refused.status.success(), "nobody answers");
    })
}
