//! Fails closed.
