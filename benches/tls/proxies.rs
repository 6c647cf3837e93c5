//! The proxies that are compared: each started on the second processor, with one thread, one certificate, one server behind it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::home::Home;
use ravelin_tests::pki::Pair;
use ravelin_tests::wait;

use ravelin_benches::processor;

/// A proxy that runs; ends with it.
pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) address: SocketAddr,
    running: Running,
}

enum Running {
    Ravelin(Daemon),
    Peer(Child, #[expect(dead_code, reason = "its files")] Home),
}

impl Proxy {
    /// Its processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let first = match &self.running {
            Running::Ravelin(daemon) => daemon.pid().as_raw().unsigned_abs(),
            Running::Peer(child, _) => child.id(),
        };
        let mut all = vec![first];
        all.extend(processor::children(first));
        all
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Running::Peer(child, _) = &mut self.running {
            // Workers end with their parent, but only when it is asked to end.
            let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
            let _gone = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            drop(child.wait());
        }
    }
}

/// Ravelin, and the others that are installed.
pub(crate) fn start_all(pair: &Pair, server: SocketAddr) -> Vec<Proxy> {
    let mut proxies = vec![ravelin(pair, server)];
    proxies.extend(PEERS.iter().filter_map(|peer| peer.start(pair, server)));
    proxies
}

fn ravelin(pair: &Pair, server: SocketAddr) -> Proxy {
    let address = free();
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["{address}"]
routes = [{{ upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[[upstream]]
name = "app"
servers = ["{server}"]
"#
    );
    let daemon = Daemon::new("bench-tls", Half::Edge, &policy).wrapped(&["taskset", "--cpu-list", "1"]);
    daemon.home().write("api.pem", &pair.cert);
    daemon.home().write("api.key", &pair.key);
    Proxy {
        name: "Ravelin",
        version: "this tree".to_owned(),
        address,
        running: Running::Ravelin(daemon.started()),
    }
}

/// Another proxy: how it is asked for its version, configured and started.
struct Peer {
    name: &'static str,
    version: &'static [&'static str],
    configuration: fn(SocketAddr, SocketAddr, &Path) -> String,
    arguments: &'static [&'static str],
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "haproxy",
        version: &["-v"],
        configuration: haproxy,
        arguments: &["-db", "-q", "-f"],
    },
    Peer {
        name: "nginx",
        version: &["-v"],
        configuration: nginx,
        arguments: &["-c"],
    },
    Peer {
        name: "hitch",
        version: &["--version"],
        configuration: hitch,
        arguments: &["--config"],
    },
];

impl Peer {
    fn start(&self, pair: &Pair, server: SocketAddr) -> Option<Proxy> {
        if self.name == "nginx" && !Path::new(NGINX_STREAM).exists() {
            return None;
        }
        let version = Command::new(self.name).args(self.version).output().ok()?;
        let said = [version.stdout, version.stderr].concat();
        let version = String::from_utf8_lossy(&said)
            .lines()
            .next()
            .unwrap_or("")
            .to_owned();
        let home = Home::new(&format!("bench-tls-{}", self.name));
        let address = free();
        home.write("both.pem", &format!("{}{}", pair.cert, pair.key));
        home.write(
            "configuration",
            &(self.configuration)(address, server, home.directory()),
        );
        let child = Command::new("taskset")
            .args(["--cpu-list", "1", self.name])
            .args(self.arguments)
            .arg(home.directory().join("configuration"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the proxy starts");
        wait::until(&format!("{} to listen", self.name), PATIENCE, || {
            TcpStream::connect(address).ok()
        });
        let proxy = Proxy {
            name: self.name,
            version,
            address,
            running: Running::Peer(child, home),
        };
        // hitch puts its worker on the first processor itself, where it would share caches with the clients.
        for process in proxy.processes() {
            processor::pin(process, 1);
        }
        Some(proxy)
    }
}

fn haproxy(address: SocketAddr, server: SocketAddr, home: &Path) -> String {
    format!(
        "global\n nbthread 1\n maxconn 4000\n\
         defaults\n mode tcp\n timeout connect 3s\n timeout client 1h\n timeout server 1h\n\
         frontend api\n bind {address} ssl crt {}\n default_backend app\n\
         backend app\n server app {server}\n",
        home.join("both.pem").display()
    )
}

fn nginx(address: SocketAddr, server: SocketAddr, home: &Path) -> String {
    let pem = home.join("both.pem");
    let pem = pem.display();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\n\
         load_module {NGINX_STREAM};\n\
         error_log stderr crit;\npid {home}/pid;\nevents {{ worker_connections 10000; }}\n\
         stream {{\n server {{\n  listen {address} ssl;\n  ssl_certificate {pem};\n  ssl_certificate_key {pem};\n  \
         ssl_protocols TLSv1.2 TLSv1.3;\n  proxy_pass {server};\n  proxy_timeout 1h;\n }}\n}}\n",
        home = home.display()
    )
}

fn hitch(address: SocketAddr, server: SocketAddr, home: &Path) -> String {
    format!(
        "frontend = {{ host = \"127.0.0.1\" port = \"{}\" }}\nbackend = \"[127.0.0.1]:{}\"\npem-file = \"{}\"\n\
         workers = 1\ndaemon = off\nuser = \"nobody\"\ntls-protos = TLSv1.2 TLSv1.3\nsyslog = off\nquiet = on\n",
        address.port(),
        server.port(),
        home.join("both.pem").display()
    )
}

/// A port of loopback that nobody listens on.
fn free() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a port");
    probe.local_addr().expect("bound")
}

/// Debian's package of it is another than nginx's.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

const PATIENCE: Duration = Duration::from_secs(10);
