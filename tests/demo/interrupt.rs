//! Ctrl-C and SIGTERM: they end the demo at the next step, so that what was made is removed by the ordinary way out.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// The demo is to end now.
#[derive(Debug)]
pub(crate) struct Interrupted;

/// Hears the signals on a thread of its own. By handlers: blocked signals would be blocked in every program we start.
pub(crate) fn listen() {
    thread::spawn(|| {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let [mut interrupt, mut terminate, mut hangup] = [
                SignalKind::interrupt(),
                SignalKind::terminate(),
                SignalKind::hangup(),
            ]
            .map(|kind| signal(kind).expect("a handler"));
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                HEARD.store(true, Ordering::Relaxed);
                eprintln!("\nstopping and cleaning up");
            }
        });
    });
    // Ctrl-C goes to the programs we wait for as well; what their sudden end breaks here is no news.
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if check().is_ok() {
            usual(panic);
        }
    }));
}

/// Whether to go on.
pub(crate) fn check() -> Result<(), Interrupted> {
    if HEARD.load(Ordering::Relaxed) {
        Err(Interrupted)
    } else {
        Ok(())
    }
}

static HEARD: AtomicBool = AtomicBool::new(false);
