//! Clients that never finish a handshake: thousands of them on one thread, which sleeps most of the time.
//!
//! What they do is spread evenly over time, and none has a task or a timer of its own: the healthy client is on the same processor, and
//! what is measured is the edge's time, not the crowd's.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use ravelin_benches::processor;
use socket2::{Domain, Socket, Type};

use crate::HANDSHAKE_TIMEOUT;

/// Clients that send a byte a second.
const DRIPPING: usize = 2_000;

/// Clients that send half a hello.
const HALF_OPEN: usize = 5_000;

/// All of them.
pub(crate) const CLIENTS: usize = DRIPPING + HALF_OPEN;

/// How long after its end in time a connection may be seen to end.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// What became of the connections of a crowd.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Closed by the other side.
    pub(crate) closed: u64,
    /// Of these, after more than `HANDSHAKE_TIMEOUT` and `GRACE`.
    pub(crate) late: u64,
    /// Never connected.
    pub(crate) failed: u64,
    /// How long one was held at the most.
    pub(crate) longest: Duration,
}

/// A crowd that is at work.
pub(crate) struct Crowd {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Tally>,
}

impl Crowd {
    /// Comes within `HANDSHAKE_TIMEOUT`, evenly, and whoever is closed comes back.
    pub(crate) fn against(target: SocketAddr, hello: &Arc<[u8]>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (until, hello) = (Arc::clone(&over), Arc::clone(hello));
        let thread = thread::spawn(move || {
            processor::pin_self(0);
            Work::new(target, &hello).until(&until)
        });
        Self { over, thread }
    }

    /// Goes away.
    pub(crate) fn end(self) -> Tally {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the crowd")
    }
}

struct Work<'a> {
    target: SocketAddr,
    hello: &'a [u8],
    epoll: Epoll,
    clients: Vec<Slow>,
    tally: Tally,
}

/// One client.
struct Slow {
    socket: Socket,
    since: Instant,
    connected: bool,
    sent: usize,
}

impl<'a> Work<'a> {
    fn new(target: SocketAddr, hello: &'a [u8]) -> Self {
        Self {
            target,
            hello,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll"),
            clients: Vec::with_capacity(CLIENTS),
            tally: Tally::default(),
        }
    }

    fn until(mut self, over: &AtomicBool) -> Tally {
        let start = Instant::now();
        let mut events = vec![EpollEvent::empty(); 64];
        let mut dripped = 0;
        while !over.load(Ordering::Relaxed) {
            let millis = in_millis(start.elapsed());
            let come = millis * CLIENTS / in_millis(HANDSHAKE_TIMEOUT);
            while self.clients.len() < come.min(CLIENTS) {
                let client = self.connect(self.clients.len());
                self.clients.push(client);
            }
            // Everybody has a turn each second.
            while dripped < millis * DRIPPING / 1_000 {
                self.drip(dripped % DRIPPING);
                dripped += 1;
            }
            let ready = self.epoll.wait(&mut events, 1_u8).expect("events");
            for event in &events[..ready] {
                self.see(usize::try_from(event.data()).expect("an index"), event.events());
            }
        }
        self.tally
    }

    /// From an address of its own.
    fn connect(&self, number: usize) -> Slow {
        let [_, _, high, low] = u32::try_from(number).expect("few").to_be_bytes();
        let from = Ipv4Addr::new(127, 1, high, low);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("an option");
        socket.set_tcp_nodelay(true).expect("an option");
        socket.bind(&SocketAddr::from((from, 0)).into()).expect("a port");
        // It is under way, or its error is the first event.
        drop(socket.connect(&self.target.into()));
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        let event = EpollEvent::new(flags, number as u64);
        self.epoll.add(socket.as_fd(), event).expect("a socket to watch");
        Slow {
            socket,
            since: Instant::now(),
            connected: false,
            sent: 0,
        }
    }

    /// One byte of a hello. An error shows as an event too.
    fn drip(&mut self, number: usize) {
        // Those that dripped last have not come yet.
        let Some(client) = self.clients.get_mut(number) else {
            return;
        };
        if client.connected {
            drop(client.socket.write(&self.hello[client.sent..=client.sent]));
            client.sent += 1;
        }
    }

    fn see(&mut self, number: usize, events: EpollFlags) {
        let client = &mut self.clients[number];
        let broken = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        if !client.connected && events.contains(EpollFlags::EPOLLOUT) && !events.intersects(broken) {
            client.connected = true;
            if number >= DRIPPING {
                drop(client.socket.write(&self.hello[..self.hello.len() / 2]));
            }
        }
        if events.intersects(broken | EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP)
            && has_ended(&client.socket)
        {
            if client.connected {
                let held = client.since.elapsed();
                self.tally.closed += 1;
                self.tally.late += u64::from(held > HANDSHAKE_TIMEOUT + GRACE);
                self.tally.longest = self.tally.longest.max(held);
            } else {
                self.tally.failed += 1;
            }
            self.clients[number] = self.connect(number);
        }
    }
}

fn in_millis(time: Duration) -> usize {
    usize::try_from(time.as_millis()).expect("a short time")
}

fn has_ended(mut socket: &Socket) -> bool {
    let mut answer = [0; 64];
    loop {
        match socket.read(&mut answer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}
