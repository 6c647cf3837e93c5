//! What the targets share: the measure of memory, and the edge's readers.

use peak_alloc::PeakAlloc;

/// The daemon's reader of `ClientHello`s. As a file: the daemon would bring a runtime, a TLS stack in C and a kernel program, and take
/// minutes to build with the counters.
#[path = "../../../daemon/src/transport/tls/hello.rs"]
pub mod hello;

/// The daemon's reader of PROXY headers.
#[path = "../../../daemon/src/transport/proxy/parse.rs"]
pub mod proxy;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Runs `work` on an input of `length` bytes and holds it to `allowance`.
///
/// # Panics
///
/// When the heap grew beyond it at any moment: a small file could then fill the memory of the host.
pub fn within(allowance: Allowance, length: usize, work: impl FnOnce()) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    work();
    let grown = ALLOCATOR.peak_usage().saturating_sub(before);
    let allowed = allowance.fixed + allowance.per_byte * length;
    assert!(
        grown <= allowed,
        "{length} bytes of input took {grown} bytes of memory, {allowed} are allowed"
    );
}

/// The memory an input may take, in bytes.
#[derive(Clone, Copy)]
pub struct Allowance {
    /// Whatever the input is.
    pub fixed: usize,
    /// For each byte of it.
    pub per_byte: usize,
}
