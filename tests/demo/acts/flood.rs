//! One source opens connections as fast as it can; the limit holds, and others do not notice.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ravelin_tests::wait;

use crate::acts::tls;
use crate::interrupt::{self, Interrupted};
use crate::ledger::Ledger;
use crate::metrics::Page;
use crate::screen;
use crate::world::{BURST, EDGE_V4, RATE, World};

pub(crate) fn play(world: &World, ledger: &mut Ledger) -> Result<(), Interrupted> {
    interrupt::check()?;
    screen::act("a connection flood");
    let all = THREADS * EACH;
    screen::note(&format!(
        "the attacker opens {all} connections from one address, {THREADS} at a time; the limit is a burst of {BURST} and {RATE} a second"
    ));
    let before = Page::fetch(world);
    let opened = AtomicU32::new(0);
    let started = Instant::now();
    let (let_in, served) = thread::scope(|scope| {
        let flood: Vec<_> = (0..THREADS)
            .map(|_| {
                world
                    .attacker
                    .enter_and(scope, || (0..EACH).map(|_| knock(&opened)).collect::<Vec<_>>())
            })
            .collect();
        let served: u32 = (0..REQUESTS).map(|_| u32::from(is_served(world))).sum();
        let mut kept = Vec::new();
        for thread in flood {
            kept.extend(
                thread
                    .join()
                    .expect("the flood does not panic")
                    .into_iter()
                    .flatten(),
            );
        }
        (kept, served)
    });
    screen::progress_done();
    interrupt::check()?;
    // What is connected may still wait to be accepted.
    let judged = |page: &Page| page.rise(&before, ADMITTED, &WEB) + page.rise(&before, REFUSED, &WEB_RATE);
    let everything = f64::from(all) + f64::from(REQUESTS);
    let after = wait::until(
        "the edge to judge every connection",
        Duration::from_secs(10),
        || Some(Page::fetch(world)).filter(|page| judged(page) >= everything),
    );
    let bound = BURST + RATE * started.elapsed().as_secs_f64();
    // Kept until now: a connection that the attacker closes early could hide among the refused.
    let open = let_in.iter().filter(|stream| is_open(stream)).count();
    let refused = after.rise(&before, REFUSED, &WEB_RATE);
    let admitted = after.rise(&before, ADMITTED, &WEB) - f64::from(served);
    ledger.enter(
        &format!("attacker's connections let through, of {all}"),
        &format!("at most {}", bound.floor()),
        &admitted.to_string(),
        (BURST..=bound).contains(&admitted),
    );
    ledger.expect(
        "refused for their rate",
        &(f64::from(all) - admitted).to_string(),
        &refused.to_string(),
    );
    ledger.expect(
        "still open, as the attacker sees it",
        &admitted.to_string(),
        &open.to_string(),
    );
    ledger.expect(
        "the office's requests meanwhile",
        &format!("{REQUESTS} served"),
        &format!("{served} served"),
    );
    Ok(())
}

/// One connection of the flood; nothing when it was turned away at once.
fn knock(opened: &AtomicU32) -> Option<TcpStream> {
    if interrupt::check().is_err() {
        return None;
    }
    let address = format!("{EDGE_V4}:443").parse().expect("an address");
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok();
    let number = opened.fetch_add(1, Ordering::Relaxed) + 1;
    if number.is_multiple_of(50) {
        screen::progress(&format!("{number} connections"));
    }
    stream
}

/// Whether the edge has kept the connection: one that is refused is reset.
fn is_open(stream: &TcpStream) -> bool {
    let mut stream = stream;
    stream.set_nonblocking(true).is_ok()
        && stream
            .read(&mut [0])
            .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn is_served(world: &World) -> bool {
    let output = tls::request(world, &world.office, "www.example.com", EDGE_V4).output();
    output.is_ok_and(|output| output.status.success())
}

const THREADS: u32 = 8;
const EACH: u32 = 50;
const REQUESTS: u32 = 5;

const ADMITTED: &str = "ravelin_edge_admitted_total";
const REFUSED: &str = "ravelin_edge_refused_total";
const WEB: [(&str, &str); 1] = [("listener", "web")];
const WEB_RATE: [(&str, &str); 2] = [("listener", "web"), ("reason", "rate")];
