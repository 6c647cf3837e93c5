//! OCSP responses, signed by a test authority with `openssl ocsp`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::home::Home;
use crate::pki::{Authority, Pair};

/// What the authority says about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// In order, for seven days.
    Good,
    /// Revoked.
    Revoked,
}

/// The response about `pair`, DER. Needs `openssl` ([`mod@crate::requires`]).
#[must_use]
#[track_caller]
pub fn respond(home: &Home, authority: &Authority, pair: &Pair, answer: Answer) -> Vec<u8> {
    home.write("ocsp/authority.pem", &authority.pem());
    home.write("ocsp/authority.key", &authority.key_pem());
    home.write("ocsp/leaf.pem", &pair.cert);
    let folder = home.directory().join("ocsp");
    let serial = openssl(&folder, &["x509", "-in", "leaf.pem", "-noout", "-serial"]);
    let serial = serial.trim().trim_start_matches("serial=");
    let row = match answer {
        Answer::Good => format!("V\t400101000000Z\t\t{serial}\tunknown\t/CN=leaf\n"),
        Answer::Revoked => format!("R\t400101000000Z\t250101000000Z\t{serial}\tunknown\t/CN=leaf\n"),
    };
    home.write("ocsp/index", &row);
    let request = [
        "ocsp",
        "-no_nonce",
        "-issuer",
        "authority.pem",
        "-cert",
        "leaf.pem",
        "-reqout",
        "request",
    ];
    openssl(&folder, &request);
    let response = [
        "ocsp",
        "-index",
        "index",
        "-rsigner",
        "authority.pem",
        "-rkey",
        "authority.key",
        "-CA",
        "authority.pem",
        "-reqin",
        "request",
        "-ndays",
        "7",
        "-respout",
        "response",
    ];
    openssl(&folder, &response);
    fs::read(folder.join("response")).expect("the response")
}

/// The same response with another `nextUpdate`: so many seconds from now. That breaks its signature.
#[must_use]
#[track_caller]
pub fn ending_in(response: &[u8], seconds: i64) -> Vec<u8> {
    let output = Command::new("date")
        .args(["-u", "-d", &format!("{seconds} seconds"), "+%Y%m%d%H%M%SZ"])
        .output()
        .expect("`date` runs");
    let end = output.stdout.trim_ascii();
    // GeneralizedTime of 15 bytes: producedAt, thisUpdate, nextUpdate.
    let times = response
        .windows(2)
        .enumerate()
        .filter(|(_, tag)| *tag == [0x18, 15]);
    let (place, _) = times.into_iter().nth(2).expect("nextUpdate");
    let mut response = response.to_vec();
    response[place + 2..place + 17].copy_from_slice(end);
    response
}

#[track_caller]
fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("`openssl` does not run: {error}"));
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
