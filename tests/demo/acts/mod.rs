//! The acts, in order. Each shows one thing, and enters into the ledger what was expected of it and what happened.

pub(crate) mod flood;
pub(crate) mod kill;
pub(crate) mod mistake;
pub(crate) mod packets;
pub(crate) mod policy;
pub(crate) mod proof;
pub(crate) mod reload;
pub(crate) mod start;
pub(crate) mod tls;
pub(crate) mod wires;
