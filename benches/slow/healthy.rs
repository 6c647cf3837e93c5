//! The client that means well: connects, shakes hands, is sent a kilobyte, ends, and comes again at once.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ravelin_tests::pki::Authority;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::ServerName;

/// A client that trusts one authority and keeps no sessions.
pub(crate) struct Healthy {
    config: Arc<ClientConfig>,
    address: SocketAddr,
}

/// How long a healthy client waited, in microseconds, and how often it was not served.
pub(crate) struct Waits {
    pub(crate) count: u64,
    pub(crate) failed: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Healthy {
    pub(crate) fn new(authority: &Authority, address: SocketAddr) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Self {
            config: Arc::new(config),
            address,
        }
    }

    /// What a client like it says first.
    pub(crate) fn hello(&self) -> Vec<u8> {
        let mut bytes = vec![];
        let mut tls = self.tls();
        while tls.wants_write() {
            tls.write_tls(&mut bytes).expect("a hello");
        }
        bytes
    }

    /// As often as it can in that time.
    pub(crate) fn come_for(&self, time: Duration) -> Waits {
        let (start, mut waits, mut failed) = (Instant::now(), vec![], 0);
        while start.elapsed() < time {
            let began = Instant::now();
            match self.come() {
                Ok(answered) => waits.push((answered - began).as_secs_f64() * 1e6),
                Err(_) => failed += 1,
            }
        }
        waits.sort_by(f64::total_cmp);
        assert!(waits.len() >= 100, "only {} were served", waits.len());
        Waits {
            count: waits.len() as u64,
            failed,
            p50: waits[waits.len() / 2],
            p99: waits[waits.len() * 99 / 100],
        }
    }

    /// Once; when the last byte was there.
    fn come(&self) -> io::Result<Instant> {
        let socket = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(self.tls(), socket);
        stream.write_all(&QUESTION)?;
        stream.read_exact(&mut [0; 1_024])?;
        let answered = Instant::now();
        stream.conn.send_close_notify();
        stream.flush()?;
        // The end of the connection is not of this wait, and not of the next one either.
        let _closed = stream.sock.read(&mut [0; 1_024]);
        Ok(answered)
    }

    fn tls(&self) -> ClientConnection {
        let name = ServerName::try_from(crate::NAME).expect("a name");
        ClientConnection::new(Arc::clone(&self.config), name).expect("a connection")
    }
}

/// Nothing follows, and a kilobyte is wanted.
const QUESTION: [u8; 8] = [0, 0, 0, 0, 0, 0, 4, 0];

const PATIENCE: Duration = Duration::from_secs(20);
