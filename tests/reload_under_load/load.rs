//! 200 new connections a second, and a few long transfers that are compared byte by byte.

use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ravelin_tests::client::Client;
use ravelin_tests::netns::Namespace;
use ravelin_tests::pki::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::NAME;

/// Nothing here takes this long unless it hangs.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// One every 5 ms: 200 a second.
const EVERY: Duration = Duration::from_millis(5);

const TRANSFERS: u64 = 4;
const CHUNK: usize = 8 * 1024;

/// Running load.
pub(crate) struct Load {
    shared: Arc<Shared>,
    opening: JoinHandle<()>,
    transfers: JoinSet<()>,
    /// Its threads are in the namespace.
    runtime: Runtime,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    opened: AtomicUsize,
    refused: AtomicUsize,
    reset: AtomicUsize,
    other: AtomicUsize,
    transferred: AtomicU64,
    first_error: Mutex<Option<String>>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) opened: usize,
    pub(crate) refused: usize,
    pub(crate) reset: usize,
    /// Anything else, with bytes that are not those that were sent.
    pub(crate) other: usize,
    /// Bytes that came back as they were sent.
    pub(crate) transferred: u64,
    pub(crate) first_error: Option<String>,
}

impl Load {
    pub(crate) fn start(namespace: &Namespace, authority: &Authority, to: SocketAddr) -> Self {
        let runtime = namespace.run(|| Builder::new_multi_thread().worker_threads(1).enable_all().build());
        let runtime = runtime.expect("a runtime");
        let shared = Arc::new(Shared::default());
        let client = Client::new(authority);
        let mut transfers = JoinSet::new();
        for seed in 1..=TRANSFERS {
            let (client, shared) = (client.clone(), Arc::clone(&shared));
            let transfer = async move {
                let transferred = transfer(&client, to, seed, &shared).await;
                shared.note(transferred);
            };
            transfers.spawn_on(transfer, runtime.handle());
        }
        let opening = runtime.spawn(open(client, to, Arc::clone(&shared)));
        Self {
            shared,
            opening,
            transfers,
            runtime,
        }
    }

    /// Connections so far that were served to their end.
    pub(crate) fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::Relaxed)
    }

    /// Ends it in order.
    #[track_caller]
    pub(crate) fn finish(self) -> Counts {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.runtime.block_on(async {
            self.opening.await.expect("no panic");
            self.transfers.join_all().await;
        });
        let shared = &self.shared;
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Counts {
            opened: count(&shared.opened),
            refused: count(&shared.refused),
            reset: count(&shared.reset),
            other: count(&shared.other),
            transferred: shared.transferred.load(Ordering::Relaxed),
            first_error: shared.first_error.lock().expect("not poisoned").clone(),
        }
    }
}

impl Shared {
    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, outcome: io::Result<()>) {
        let Err(error) = outcome else { return };
        let counter = match error.kind() {
            ErrorKind::ConnectionRefused => &self.refused,
            ErrorKind::ConnectionReset => &self.reset,
            _ => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first_error.lock().expect("not poisoned");
        first.get_or_insert_with(|| format!("{error:?}"));
    }
}

async fn open(client: Client, to: SocketAddr, shared: Arc<Shared>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut connections = JoinSet::new();
    while !shared.stopping() {
        tick.tick().await;
        while connections.try_join_next().is_some() {}
        let (client, shared) = (client.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            let served = timeout(SOON, one(&client, to)).await;
            let served = served.unwrap_or_else(|late| Err(late.into()));
            if served.is_ok() {
                shared.opened.fetch_add(1, Ordering::Relaxed);
            }
            shared.note(served);
        });
    }
    connections.join_all().await;
}

/// A connection from its first byte to the end that the other side confirms.
async fn one(client: &Client, to: SocketAddr) -> io::Result<()> {
    let mut stream = client.connect(to, NAME).await?;
    stream.write_all(b"ping").await?;
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).await?;
    stream.shutdown().await?;
    let rest = stream.read(&mut [0]).await?;
    if echo == *b"ping" && rest == 0 {
        Ok(())
    } else {
        Err(io::Error::other("other bytes came back"))
    }
}

/// Sends bytes of a generator all the time, and compares what comes back with the same generator.
async fn transfer(client: &Client, to: SocketAddr, seed: u64, shared: &Shared) -> io::Result<()> {
    let (mut from, mut into) = split(client.connect(to, NAME).await?);
    let send = async {
        let (mut bytes, mut chunk) = (Bytes(seed), [0; CHUNK]);
        while !shared.stopping() {
            bytes.fill(&mut chunk);
            into.write_all(&chunk).await?;
            // Long, not fast: the machine has other things to do.
            sleep(Duration::from_millis(20)).await;
        }
        into.shutdown().await
    };
    let receive = async {
        let (mut bytes, mut chunk, mut wanted) = (Bytes(seed), [0; CHUNK], [0; CHUNK]);
        loop {
            let mut read = 0;
            while read < CHUNK {
                match from.read(&mut chunk[read..]).await? {
                    0 => break,
                    more => read += more,
                }
            }
            bytes.fill(&mut wanted);
            if chunk[..read] != wanted[..read] {
                return Err(io::Error::other("other bytes came back"));
            }
            shared.transferred.fetch_add(read as u64, Ordering::Relaxed);
            match read {
                CHUNK => {}
                0 => return Ok(()),
                _ => return Err(io::Error::other("not all of it came back")),
            }
        }
    };
    tokio::try_join!(send, receive).map(drop)
}

/// xorshift64: bytes that repeat nowhere near.
struct Bytes(u64);

impl Bytes {
    fn fill(&mut self, chunk: &mut [u8]) {
        for eight in chunk.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            eight.copy_from_slice(&self.0.to_le_bytes()[..eight.len()]);
        }
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections, {} refused, {} reset, {} other failures; {TRANSFERS} transfers, {} KiB byte-exact",
            self.opened,
            self.refused,
            self.reset,
            self.other,
            self.transferred / 1024
        )
    }
}
