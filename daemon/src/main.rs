//! Arguments → run → exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    ravelin_daemon::cli::run()
}
