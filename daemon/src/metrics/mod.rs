//! What Ravelin says of itself, in Prometheus' words.
//!
//! `families` lists every metric with its help, `labels` the words in their labels, `registry` holds the edge's counters,
//! `listener` and `upstream` hand out those of one of each, `export` serves them over HTTP.

pub mod export;
pub mod families;
pub mod labels;
mod listener;
mod register;
pub mod registry;
mod upstream;

pub use export::Exposition;
pub use listener::ListenerMetrics;
pub use registry::EdgeMetrics;
pub use upstream::UpstreamMetrics;
