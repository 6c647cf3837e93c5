//! NSS, Firefox's TLS, and its database of whom it trusts and who it is, which Chromium reads too.

use std::fs::{self, File};
use std::process::Command;

use ravelin_tests::requires;

use super::stacks::all;
use super::{NAME, Shown, World, meet};

#[test]
fn nss() {
    requires!(
        Tool("tstclnt"),
        Tool("certutil"),
        Tool("pk12util"),
        Tool("openssl")
    );
    meet("nss", |world, version, shown| {
        let range = format!("tls{0}:tls{0}", version.number());
        let database = database(world, &format!("nss-{version:?}-{shown:?}"), shown);
        let port = world.port();
        let mut command = Command::new("tstclnt");
        command.args(["-d", &database, "-h", "127.0.0.1", "-p", &port]);
        command.args(["-a", NAME, "-V", &range]);
        if shown != Shown::Nothing {
            command.args(["-n", ME]);
        }
        // From a file: at the end of a pipe it waits for more.
        let request = File::open(world.file("request")).expect("the request");
        all(&command.stdin(request).output().expect("the client runs"))
    });
}

/// A new database that trusts the authority of the edge, with what its user has to show.
#[track_caller]
pub(super) fn database(world: &World, folder: &str, shown: Shown) -> String {
    fs::create_dir_all(world.file(folder)).expect("a folder");
    let database = format!("sql:{}", world.file(folder));
    let authority = world.file("authority.pem");
    run("certutil", &["-d", &database, "-N", "--empty-password"]);
    let trust = ["-A", "-n", "authority", "-t", "CT,,", "-i", &authority];
    run("certutil", &[&["-d", &*database], &trust[..]].concat());
    if let Some([cert, key]) = world.files(shown) {
        let both = world.file(&format!("{folder}/me.p12"));
        let export = ["-export", "-name", ME, "-passout", "pass:", "-out", &both];
        run(
            "openssl",
            &[&["pkcs12", "-in", &*cert, "-inkey", &key], &export[..]].concat(),
        );
        run("pk12util", &["-d", &database, "-i", &both, "-W", ""]);
    }
    database
}

/// How the user's certificate is called there.
const ME: &str = "me";

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("`{program}` does not run: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        all(&output)
    );
}
