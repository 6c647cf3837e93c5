//! The test harness of Ravelin: packets, namespaces, the real kernel, the real daemon.

#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a harness fails by panicking, and shows why on the terminal"
)]

pub mod backend;
pub mod bans;
pub mod classbench;
pub mod client;
pub mod cookies;
pub mod daemon;
pub mod dialogue;
pub mod edge;
pub mod evasion;
pub mod figures;
pub mod fixture;
pub mod guide;
pub mod haproxy;
pub mod hello;
pub mod home;
pub mod netns;
pub mod ocsp;
pub mod packet;
pub mod pki;
pub mod prog_run;
pub mod promtool;
pub mod random;
pub mod requires;
pub mod resident;
pub mod runtime;
pub mod scene;
pub mod sequence;
pub mod wait;
