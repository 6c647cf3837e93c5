//! What the demo looks like: numbered acts, commands as one would type them, what they print, notes.

use std::io::{IsTerminal, Write, stdout};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The heading of the next act.
pub(crate) fn act(title: &str) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed) + 1;
    println!(
        "\n{}",
        bold(&format!(
            "── {number}/{ACTS}  {title} {}",
            "─".repeat(WIDTH.saturating_sub(title.len() + 9))
        ))
    );
}

/// A sentence for the audience.
pub(crate) fn note(text: &str) {
    println!("   {}", dim(text));
}

/// A command, as it is typed on the host `on`.
pub(crate) fn command(on: &str, words: &str) {
    println!("   {} {}", dim(&format!("{on} $")), words);
}

/// What a command printed.
pub(crate) fn output(text: &str) {
    for line in text.trim_end().lines() {
        println!("   {} {line}", dim("│"));
    }
}

/// Replaces the current line: something is going on. Only on a terminal.
pub(crate) fn progress(text: &str) {
    if stdout().is_terminal() {
        print!("\r\x1b[K   {}", dim(text));
        let _closed = stdout().flush();
    }
}

/// Takes the progress line away.
pub(crate) fn progress_done() {
    if stdout().is_terminal() {
        print!("\r\x1b[K");
        let _closed = stdout().flush();
    }
}

/// A mark for what is as expected, and for what is not.
pub(crate) fn mark(good: bool) -> String {
    if good {
        paint("32", "✓")
    } else {
        paint("31;1", "✗")
    }
}

/// Text that stands out.
pub(crate) fn bold(text: &str) -> String {
    paint("1", text)
}

fn dim(text: &str) -> String {
    paint("2", text)
}

fn paint(code: &str, text: &str) -> String {
    if stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

const ACTS: usize = 10;
const WIDTH: usize = 96;
