//! Text to standard output and standard error.
//!
//! `println!` panics when the reader of a pipe is gone (`ravelin rules | head`); here a closed pipe ends the output quietly.

use std::error::Error;
use std::io::{self, Write as _};

use crate::causes::chain;

/// Prints `text`, and a line end if it has none.
pub(super) fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    // A reader that went away has seen what it wanted; there is nobody left to tell.
    let _closed = stdout.write_all(text.as_bytes()).and_then(|()| {
        if text.ends_with('\n') || text.is_empty() {
            Ok(())
        } else {
            stdout.write_all(b"\n")
        }
    });
}

/// Prints `text` to standard error, and a line end if it has none.
pub(super) fn print_error(text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let _closed = io::stderr().lock().write_all(format!("{text}{end}").as_bytes());
}

/// Prints `failure` and its causes: `ravelin: what failed: because of`.
pub(super) fn failure(failure: &(dyn Error + 'static)) {
    print_error(&format!("ravelin: {}", chain(failure)));
}
