//! The edge inside the test process: the same service `ravelin edge` runs, without the command line.
//!
//! Policies are TOML and read by the real reader. Bind listeners and metrics to port 0 of a loopback address.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ravelin_daemon::transport::{BanQueue, EdgeHandle, EdgeOptions, EdgeService, Inherited};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::home::Home;
use crate::pki::Pair;

/// A running edge with a folder for its policy and certificates. Stopped on drop.
pub struct Edge {
    runtime: Option<Runtime>,
    handle: EdgeHandle,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<usize>>,
    home: Home,
}

impl Edge {
    /// Starts the edge with `policy` and the pairs, written as `<name>.pem` and `<name>.key`. A `[metrics]` table is added, and a short drain.
    #[must_use]
    #[track_caller]
    pub fn start(test: &str, policy: &str, pairs: &[(&str, &Pair)]) -> Self {
        let (bans, _nobody) = BanQueue::bounded();
        Self::start_asking(test, policy, pairs, bans)
    }

    /// The same, with more files.
    #[must_use]
    #[track_caller]
    pub fn start_with(test: &str, policy: &str, pairs: &[(&str, &Pair)], files: &[(&str, &str)]) -> Self {
        let (bans, _nobody) = BanQueue::bounded();
        Self::start_at(Home::new(test), policy, pairs, files, bans)
    }

    /// The same, with somebody at the other end of the queue of bans.
    #[must_use]
    #[track_caller]
    pub fn start_asking(test: &str, policy: &str, pairs: &[(&str, &Pair)], bans: BanQueue) -> Self {
        Self::start_at(Home::new(test), policy, pairs, &[], bans)
    }

    #[track_caller]
    fn start_at(
        home: Home,
        policy: &str,
        pairs: &[(&str, &Pair)],
        files: &[(&str, &str)],
        bans: BanQueue,
    ) -> Self {
        for (name, pair) in pairs {
            write_pair(&home, name, pair);
        }
        for (name, text) in files {
            home.write(name, text);
        }
        home.write("ravelin.toml", &with_metrics(policy));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let options = EdgeOptions {
            policy: home.policy(),
            load: Arc::new(load),
            filter: None,
            bans,
            inherited: Inherited::default(),
        };
        let service = runtime
            .block_on(EdgeService::start(options))
            .unwrap_or_else(|error| panic!("{}", error.chain()));
        let handle = service.handle();
        let (stop, stopped) = oneshot::channel();
        let running = runtime.spawn(async move {
            let stop = async {
                let _stopped_or_dropped = stopped.await;
            };
            service.run(stop).await
        });
        Self {
            runtime: Some(runtime),
            handle,
            stop: Some(stop),
            running: Some(running),
            home,
        }
    }

    /// Where `listener` listens.
    #[must_use]
    #[track_caller]
    pub fn address(&self, listener: &str) -> SocketAddr {
        let addresses = self.handle.addresses();
        let found = addresses.iter().find(|(name, _)| name == listener);
        found
            .unwrap_or_else(|| panic!("no listener `{listener}` in {addresses:?}"))
            .1
    }

    /// Its folder.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Replaces a certificate and its key on disk, one after the other, as tools do.
    #[track_caller]
    pub fn write_pair(&self, name: &str, pair: &Pair) {
        write_pair(&self.home, name, pair);
    }

    /// Replaces the policy on disk.
    #[track_caller]
    pub fn write_policy(&self, policy: &str) {
        self.home.write("ravelin.toml", &with_metrics(policy));
    }

    /// Asks for a reload.
    ///
    /// # Errors
    ///
    /// What the operator would see: why it is refused, or which certificates are served as they were read earlier.
    pub fn reload(&self) -> Result<(), String> {
        let runtime = self.runtime.as_ref().expect("running");
        let kept = runtime
            .block_on(self.handle.reload())
            .map_err(|error| error.chain())?;
        let errors: Vec<String> = kept.into_iter().map(|kept| kept.error).collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors.join("\n"))
        }
    }

    /// Where metrics are served.
    #[must_use]
    #[track_caller]
    pub fn metrics_address(&self) -> SocketAddr {
        self.handle.metrics_address().expect("a metrics endpoint")
    }

    /// The page at `/metrics`.
    #[must_use]
    #[track_caller]
    pub fn metrics(&self) -> String {
        let (status, body) = get(self.metrics_address(), "/metrics");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The value of a series, written as on the page: `name{label="value"}`.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        let page = self.metrics();
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no series `{series}` in\n{page}"))
            .parse()
            .expect("a number")
    }

    /// How many connections of `listener` have ended with `result`.
    #[must_use]
    #[track_caller]
    pub fn ended(&self, listener: &str, result: &str) -> f64 {
        self.metric(&format!(
            "ravelin_edge_connections_total{{listener=\"{listener}\",result=\"{result}\"}}"
        ))
    }

    /// Stops it; says how many connections had to be cut.
    #[track_caller]
    pub fn stop(mut self) -> usize {
        let running = self.running.take().expect("running");
        let _gone = self.stop.take().map(|stop| stop.send(()));
        let runtime = self.runtime.as_ref().expect("running");
        runtime.block_on(running).expect("the edge does not panic")
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// `GET path`, on a connection of its own: status and body.
#[track_caller]
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    request(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"),
    )
}

/// Sends a request as it is; status and body of the answer.
#[track_caller]
#[must_use]
pub fn request(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    stream.write_all(request.as_bytes()).expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (
        status.unwrap_or_else(|| panic!("no status in {answer:?}")),
        body.to_owned(),
    )
}

fn load(path: &Path) -> Result<ravelin_rules::Policy, String> {
    ravelin_rules::load(path)
        .map(|loaded| loaded.policy)
        .map_err(|report| report.render())
}

/// Tests that stop with open connections want to see them cut soon.
fn with_metrics(policy: &str) -> String {
    let edge = if policy.contains("[edge]") {
        ""
    } else {
        "[edge]\ndrain_timeout = \"500ms\"\n"
    };
    format!("{policy}\n{edge}[metrics]\nbind = \"127.0.0.1:0\"\n")
}

fn write_pair(home: &Home, name: &str, pair: &Pair) {
    home.write(&format!("{name}.pem"), &pair.cert);
    home.write(&format!("{name}.key"), &pair.key);
}
