//! Requests through the edge to the backend, with curl.

use std::process::Command;

use ravelin_tests::netns::Namespace;

use crate::interrupt::{self, Interrupted};
use crate::ledger::Ledger;
use crate::screen;
use crate::world::{EDGE_V4, EDGE_V6, World, text};

pub(crate) fn play(world: &World, ledger: &mut Ledger) -> Result<(), Interrupted> {
    screen::act("TLS through the edge to the backend");
    screen::note("the edge terminates TLS and tells the backend the true client by the PROXY protocol");
    let v6 = format!("[{EDGE_V6}]");
    let requests = [
        (
            "TLS 1.3 over IPv4",
            "www.example.com",
            EDGE_V4,
            "1.3",
            "you are 198.51.100.10",
        ),
        (
            "TLS 1.3 over IPv6",
            "www.example.com",
            &v6,
            "1.3",
            "you are 2001:db8:100::10",
        ),
        (
            "TLS 1.2 over IPv4",
            "www.example.com",
            EDGE_V4,
            "1.2",
            "you are 198.51.100.10",
        ),
        (
            "a server name without a route",
            "other.example.com",
            EDGE_V4,
            "1.3",
            "refused",
        ),
    ];
    for (what, name, address, version, expected) in requests {
        interrupt::check()?;
        let mut curl = request(world, &world.office, name, address);
        curl.args(["--tls-max", version]);
        screen::command("office", &shown(name, address, version));
        let output = curl.output().expect("curl starts");
        screen::output(&text(&output));
        let happened = match output.status.code() {
            Some(0) => String::from_utf8_lossy(&output.stdout)
                .trim()
                .rsplit("; ")
                .next()
                .unwrap_or("")
                .to_owned(),
            // CURLE_SSL_CONNECT_ERROR: the handshake was refused.
            Some(35) => "refused".to_owned(),
            code => format!("curl ended with {code:?}"),
        };
        ledger.expect(what, expected, &happened);
    }
    Ok(())
}

/// A request from `host` for `name` at `address`, trusting the demo's authority alone.
pub(crate) fn request(world: &World, host: &Namespace, name: &str, address: &str) -> Command {
    let mut curl = host.command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "5", "--cacert"])
        .arg(world.file("ca.pem"))
        .args(["--resolve", &format!("{name}:443:{address}")])
        .arg(format!("https://{name}/"));
    curl
}

fn shown(name: &str, address: &str, version: &str) -> String {
    format!("curl --cacert ca.pem --resolve {name}:443:{address} --tls-max {version} https://{name}/")
}
