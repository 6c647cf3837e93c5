//! What a test measured, shown also when it passes.

use std::io::Write as _;

/// Shows `figures` on the terminal, straight to the descriptor: the test runner swallows what a passing test prints.
pub fn show(figures: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _closed = writeln!(std::io::stderr(), "FIGURES {test}: {figures}");
}
