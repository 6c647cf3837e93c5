//! One async runtime for clients and servers of the tests; the edge under test has its own.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// The runtime, made at the first call.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
    })
}
