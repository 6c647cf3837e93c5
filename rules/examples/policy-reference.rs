//! Prints `docs/policy-reference.md`.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    io::stdout().write_all(ravelin_rules::policy_reference().as_bytes())
}
