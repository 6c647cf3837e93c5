//! The demo: a small world of network namespaces in which Ravelin does its whole job, and a table that says whether it did.
//!
//! `cargo xtask demo` → **acts in order** → expected and happened, side by side. Everything it makes is removed when it ends,
//! also by Ctrl-C; nothing outside its own namespaces is touched.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a show")]
#![expect(
    clippy::expect_used,
    reason = "a world that cannot be made ends the demo, and unwinding removes it"
)]

mod acts;
mod backend;
mod interrupt;
mod ledger;
mod metrics;
mod probe;
mod screen;
mod stream;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use crate::interrupt::Interrupted;
use crate::ledger::Ledger;
use crate::world::World;

fn main() -> ExitCode {
    if std::env::args().len() > 1 {
        println!(
            "usage: cargo xtask demo\n\nIt takes no arguments. As root, on Linux; see `cargo xtask demo --help`."
        );
        return ExitCode::from(2);
    }
    interrupt::listen();
    let lock = match world::lock() {
        Ok(lock) => lock,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::from(2);
        }
    };
    let ended = catch_unwind(AssertUnwindSafe(play));
    drop(lock);
    match ended {
        _ if interrupt::check().is_err() => {
            println!("\ninterrupted; everything it made is removed");
            ExitCode::from(130)
        }
        Ok(Ok(ledger)) => {
            println!("{ledger}");
            if ledger.agrees() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            }
        }
        Ok(Err(Interrupted)) | Err(_) => {
            eprintln!("\nthe demo could not go on; everything it made is removed");
            ExitCode::from(2)
        }
    }
}

fn play() -> Result<Ledger, Interrupted> {
    let mut ledger = Ledger::default();
    let mut world = World::make();
    acts::policy::play(&world)?;
    acts::wires::play(&world, &mut ledger)?;
    acts::start::play(&mut world, &mut ledger)?;
    acts::packets::play(&world, &mut ledger)?;
    acts::tls::play(&world, &mut ledger)?;
    acts::reload::play(&world, &mut ledger)?;
    acts::mistake::play(&world, &mut ledger)?;
    acts::flood::play(&world, &mut ledger)?;
    acts::proof::play(&world, &mut ledger)?;
    acts::kill::play(&mut world, &mut ledger)?;
    screen::note("removing the namespaces, the pins and the processes");
    Ok(ledger)
}
