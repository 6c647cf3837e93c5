//! The HTTP endpoint: `/metrics`, `/healthz`, `/readyz` and a plain status page.
//!
//! registry → **export** → Prometheus. Bounded in connections, header size and time, because it may face a network; knows no
//! metric by name.

use std::future::Future;
use std::pin::Pin;

/// A source of metrics in Prometheus' text format, asked at each scrape.
pub trait Exposition: Send + Sync + 'static {
    /// The text; empty when the source cannot be reached.
    fn text(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>>;
}
