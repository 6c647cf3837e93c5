//! Limits of a listener: the arithmetic by itself against a model, and the edge under clients that want more.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and tells its figures"
)]

mod arithmetic;
mod bandwidth;
mod connections;
mod model;
mod throttles;
mod vectors;
