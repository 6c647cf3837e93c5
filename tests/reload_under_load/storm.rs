//! As many connections as the machine can make, each as cheap as can be: something waits in a queue of the kernel at every moment.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ravelin_tests::netns::Namespace;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// Connections at once.
const AT_ONCE: u8 = 48;

/// A running storm.
pub(crate) struct Storm {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
    /// Its threads are in the namespace.
    runtime: Runtime,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    ended: AtomicUsize,
    refused: AtomicUsize,
    reset: AtomicUsize,
    other: AtomicUsize,
}

impl Storm {
    pub(crate) fn start(namespace: &Namespace, to: SocketAddr) -> Self {
        let runtime = namespace.run(|| Builder::new_multi_thread().worker_threads(1).enable_all().build());
        let runtime = runtime.expect("a runtime");
        let shared = Arc::new(Shared::default());
        let mut clients = JoinSet::new();
        for number in 0..AT_ONCE {
            let shared = Arc::clone(&shared);
            // An address each: ports that have just been used are used again only after a while.
            let from = IpAddr::from(Ipv4Addr::new(127, 0, 1, number + 1));
            let client = async move {
                while !shared.stop.load(Ordering::Relaxed) {
                    let counter = match one(from, to).await {
                        Ok(()) => &shared.ended,
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => &shared.refused,
                        Err(error) if error.kind() == ErrorKind::ConnectionReset => &shared.reset,
                        Err(_) => &shared.other,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            };
            clients.spawn_on(client, runtime.handle());
        }
        Self {
            shared,
            clients,
            runtime,
        }
    }

    /// Connections so far that ended in order.
    pub(crate) fn ended(&self) -> usize {
        self.shared.ended.load(Ordering::Relaxed)
    }

    /// Ends it: how many ended in order, were refused, were reset, or failed otherwise.
    pub(crate) fn finish(self) -> (usize, [usize; 3]) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.runtime.block_on(self.clients.join_all());
        let Shared {
            ended,
            refused,
            reset,
            other,
            ..
        } = &*self.shared;
        let failed = [refused, reset, other].map(|counter| counter.load(Ordering::Relaxed));
        (ended.load(Ordering::Relaxed), failed)
    }
}

/// Connects and says that there is nothing to say. The edge closes in turn; a queue that goes away resets.
async fn one(from: IpAddr, to: SocketAddr) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let mut stream = socket.connect(to).await?;
    stream.shutdown().await?;
    match stream.read(&mut [0]).await? {
        0 => Ok(()),
        _ => Err(io::Error::other("the edge speaks first")),
    }
}
