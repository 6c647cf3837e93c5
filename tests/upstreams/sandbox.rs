//! The real `ravelin edge`, which gives its rights up before it reads: the files of upstreams, wherever they are.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use ravelin_tests::client::Client;
use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::edge::get;
use ravelin_tests::home::write_below;
use ravelin_tests::netns::Namespace;
use ravelin_tests::pki::Authority;
use ravelin_tests::{requires, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Builder;

use super::peers::tls_server;
use super::{NAME, SOON, policy};

const LISTENER: &str = "127.0.0.1:443";
const METRICS: &str = "127.0.0.1:9465";

#[test]
fn files_in_other_folders_are_read_at_the_start_and_at_a_reload_and_a_start_without_them_is_refused() {
    requires!(Root, NetworkNamespaces);
    let namespace = Namespace::new("up-sandbox", "edge");
    let (outer, authority) = (Authority::new(), Authority::new());
    let (server, _) =
        namespace.run(|| tls_server(&authority.issue(&["app.internal"]), Some(&authority), &[]));
    let folder = tempfile::tempdir().expect("a folder");
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everybody).expect("open to the edge's user");
    let write = |name: &str, text: &str| write_below(folder.path(), name, text.as_bytes());
    let own = authority.issue(&["edge.internal"]);
    write("edge.pem", &own.cert);
    write("edge.key", &own.key);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let terms = format!(
        "tls = {{ server_name = \"app.internal\", ca = \"{}\", cert = \"{}\", key = \"{}\" }}\n[metrics]\nbind = \"{METRICS}\"",
        path("internal.pem"),
        path("edge.pem"),
        path("edge.key")
    );
    let policy = policy(&[server.address()], &terms).replace("127.0.0.1:0\"]", &format!("{LISTENER}\"]"));
    let mut daemon = Daemon::new("up-sandbox", Half::Edge, &policy).inside(&namespace);
    let pair = outer.issue(&[NAME]);
    daemon.home().write("api.pem", &pair.cert);
    daemon.home().write("api.key", &pair.key);

    assert!(
        !daemon.run_to_end().success(),
        "it must not start without an authority"
    );
    assert!(daemon.logs().contains("internal.pem"), "{}", daemon.logs());

    write("internal.pem", &authority.pem());
    daemon.start();
    let to: SocketAddr = LISTENER.parse().expect("an address");
    let client = Client::new(&outer);
    let echoes = || {
        namespace.run(|| {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut stream = client.connect(to, NAME).await?;
                stream.write_all(b"echo").await?;
                stream.read_exact(&mut [0; 4]).await
            })
        })
    };
    echoes().expect("an echo");
    // Another authority: found by the watch, read inside the sandbox, and nobody is trusted any longer.
    write("internal.pem", &Authority::new().pem());
    wait::until("the new file to be taken", SOON, || echoes().err());
    let page = namespace.run(|| get(METRICS.parse().expect("an address"), "/metrics").1);
    assert!(
        page.contains("ravelin_config_last_reload_successful{half=\"edge\"} 1"),
        "{page}"
    );
    assert!(daemon.stop().success());
}
