//! Legitimate traffic: a connection, a question, an answer, again and again, by a few clients at once.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ravelin_tests::scene::Scene;
use socket2::SockRef;

use crate::host::{HOST, PORT, pin_to};

/// Transactions a second over `window`.
pub(crate) fn count(scene: &Scene, window: Duration) -> f64 {
    let address = SocketAddr::V4(SocketAddrV4::new(HOST, PORT));
    let listener = scene
        .host
        .run(|| TcpListener::bind(address).expect("the server's port"));
    SockRef::from(&listener)
        .set_read_timeout(Some(PATIENCE / 10))
        .expect("a listener");
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scene.host.enter_and(scope, || serve(&listener, &stop));
        for _ in 0..CLIENTS {
            scene.client.enter_and(scope, || ask(address, &stop, &done));
        }
        // The first handshakes are not those of a host under way.
        thread::sleep(window / 4);
        let (before, started) = (done.load(Ordering::Relaxed), Instant::now());
        thread::sleep(window);
        let (after, took) = (done.load(Ordering::Relaxed), started.elapsed());
        stop.store(true, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let transactions = (after - before) as f64;
        transactions / took.as_secs_f64()
    })
}

fn serve(listener: &TcpListener, stop: &AtomicBool) {
    pin_to(1);
    while !stop.load(Ordering::Relaxed) {
        // A client that hangs up is a transaction that is not counted, and when nobody comes there is time to look whether it is over.
        if let Ok((stream, _)) = listener.accept() {
            drop(answer(stream));
        }
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut question = [0];
    stream.read_exact(&mut question)?;
    stream.write_all(&question)
}

fn ask(address: SocketAddr, stop: &AtomicBool, done: &AtomicU64) {
    pin_to(1);
    while !stop.load(Ordering::Relaxed) {
        if transaction(address).is_ok() {
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn transaction(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Without it, ports run out: each would wait a minute for late packets.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.write_all(b"?")?;
    let mut answer = [0];
    stream.read_exact(&mut answer)
}

const CLIENTS: usize = 4;
/// A packet that was lost is sent again after a second.
const PATIENCE: Duration = Duration::from_millis(500);
