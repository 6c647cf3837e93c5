//! Limits on connections: the table and the arithmetic by themselves, and the edge under clients that want more.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and tells its figures"
)]

mod arithmetic;
mod connections;
