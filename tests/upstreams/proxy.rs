//! The PROXY protocol towards servers: an independent reader, and HAProxy.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use ravelin_tests::backend::Backend;
use ravelin_tests::home::Home;
use ravelin_tests::pki::Authority;
use ravelin_tests::requires;
use ravelin_tests::runtime::runtime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::decoder::{Header, read_v1, read_v2};
use super::{NAME, SOON, World, policy};

const CLIENT: &str = "127.0.0.77";

/// A server that reads a header, then the rest, and tells both.
fn reader(version: &'static str) -> (Backend, Receiver<(Header, Vec<u8>)>) {
    let (heard, hearing) = sync_channel(64);
    let backend = Backend::new(move |mut stream| {
        let heard = heard.clone();
        async move {
            let header = match version {
                "v1" => read_v1(&mut stream).await,
                _ => read_v2(&mut stream).await,
            };
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await?;
            let _full = heard.try_send((header, rest));
            Ok(())
        }
    });
    (backend, hearing)
}

#[test]
fn both_versions_say_who_the_client_is_and_nothing_else_comes_before_its_bytes() {
    for version in ["v1", "v2"] {
        let (backend, hearing) = reader(version);
        let terms = format!("proxy_protocol = \"{version}\"");
        let world = World::new(&format!("up-proxy-{version}"), &[backend.address()], &terms);
        let to = world.edge.address("api");
        let local = runtime().block_on(async {
            let mut stream = world
                .client
                .connect_from(CLIENT, to, NAME)
                .await
                .expect("a session");
            stream.write_all(b"what the client says").await.expect("send");
            stream.shutdown().await.expect("close");
            stream.get_ref().0.local_addr().expect("an address")
        });
        let (header, rest) = hearing.recv_timeout(SOON).expect("a header");
        assert_eq!(rest, b"what the client says");
        let Header::Proxied {
            source,
            destination,
            fields,
        } = header
        else {
            panic!("{version}: of nobody");
        };
        assert_eq!((source, destination), (local, to), "{version}");
        if version == "v2" {
            assert!(fields.contains(&(0x02, NAME.as_bytes().to_vec())), "{fields:?}");
        }
    }
}

#[test]
fn a_health_check_says_that_there_is_no_client() {
    for version in ["v1", "v2"] {
        let (backend, hearing) = reader(version);
        let terms = format!("proxy_protocol = \"{version}\"\nhealth = {{ every = \"100ms\" }}");
        let world = World::new(&format!("up-proxy-check-{version}"), &[backend.address()], &terms);
        let (header, rest) = hearing.recv_timeout(SOON).expect("a check");
        assert_eq!((header, rest), (Header::Own, Vec::new()), "{version}");
        world.await_up(backend.address(), true);
    }
}

/// HAProxy with one frontend, which answers each request with what it knows of the client.
struct Haproxy {
    child: Child,
    address: SocketAddr,
    _home: Home,
}

impl Haproxy {
    /// `bind` are the words behind the socket.
    fn start(test: &str, bind: &str, files: &[(&str, &str)]) -> Self {
        let home = Home::new(test);
        for (name, text) in files {
            home.write(name, text);
        }
        // The socket is ours and listens already: no port has to be chosen, and nobody has to wait.
        let listening = TcpListener::bind("127.0.0.1:0").expect("bind");
        let inherited = fcntl(&listening, FcntlArg::F_SETFD(FdFlag::empty()));
        inherited.expect("a descriptor for the child");
        let config = format!(
            "defaults\n  mode http\n  timeout client 20s\n  timeout server 20s\n  \
             timeout connect 20s\nfrontend check\n  bind fd@{} {bind}\n  http-request return status 200 content-type \
             text/plain lf-string \"%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority] %[ssl_c_s_dn(CN)]\"\n",
            listening.as_raw_fd()
        )
        .replace("@DIR@", &home.directory().display().to_string());
        home.write("haproxy.cfg", &config);
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(home.directory().join("haproxy.cfg"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("`haproxy` does not run: {error}"));
        Self {
            child,
            address: listening.local_addr().expect("an address"),
            _home: home,
        }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// What HAProxy says of a client that comes from [`CLIENT`], and what it should.
fn through(world: &World) -> (String, String) {
    let to = world.edge.address("api");
    runtime().block_on(async {
        let mut stream = world
            .client
            .connect_from(CLIENT, to, NAME)
            .await
            .expect("a session");
        let local = stream.get_ref().0.local_addr().expect("an address");
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or(&answer);
        let expected = format!("{} {} {} {}", local.ip(), local.port(), to.ip(), to.port());
        (body.trim().to_owned(), expected)
    })
}

#[test]
fn haproxy_reads_both_versions() {
    requires!(Tool("haproxy"));
    for version in ["v1", "v2"] {
        let haproxy = Haproxy::start(&format!("up-haproxy-{version}"), "accept-proxy", &[]);
        let terms = format!("proxy_protocol = \"{version}\"\nhealth = {{ every = \"100ms\", fall = 1 }}");
        let world = World::new(&format!("up-haproxy-edge-{version}"), &[haproxy.address], &terms);
        let (said, mut expected) = through(&world);
        if version == "v2" {
            expected = format!("{expected} {NAME}");
        }
        assert_eq!(said, expected, "{version}");
        world.await_up(haproxy.address, true);
    }
}

#[test]
fn haproxy_reads_the_header_before_the_handshake_and_knows_the_edge_by_its_certificate() {
    requires!(Tool("haproxy"));
    let authority = Authority::new();
    let (server, edge) = (
        authority.issue(&["app.internal"]),
        authority.issue(&["edge.internal"]),
    );
    let server_pem = format!("{}{}", server.cert, server.key);
    for version in ["v1", "v2"] {
        let haproxy = Haproxy::start(
            &format!("up-haproxy-tls-{version}"),
            "accept-proxy ssl crt @DIR@/server.pem ca-file @DIR@/ca.pem verify required",
            &[("server.pem", &server_pem), ("ca.pem", &authority.pem())],
        );
        let terms = format!(
            "proxy_protocol = \"{version}\"\ntls = {{ server_name = \"app.internal\", ca = \"ca.pem\", cert = \"edge.pem\", key = \"edge.key\" }}"
        );
        let files = [
            ("ca.pem", authority.pem()),
            ("edge.pem", edge.cert.clone()),
            ("edge.key", edge.key.clone()),
        ];
        let world = World::with_files(
            &format!("up-haproxy-tls-edge-{version}"),
            &files.each_ref().map(|(name, text)| (*name, text.as_str())),
            &policy(&[haproxy.address], &terms),
        );
        let (said, expected) = through(&world);
        assert!(said.starts_with(&expected), "{version}: {said} is not {expected}");
        assert!(said.ends_with("Ravelin test"), "{version}: {said}");
    }
}
