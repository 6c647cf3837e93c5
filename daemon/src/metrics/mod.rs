//! What Ravelin says of itself, in Prometheus' words.
//!
//! `names` lists every metric with its help, `registry` holds the edge's counters, `export` serves them over HTTP.

pub mod export;
pub mod names;
pub mod registry;

pub use export::Exposition;
pub use registry::{EdgeMetrics, ListenerMetrics, UpstreamMetrics};
