//! Where programs under test pin what a daemon would pin.

use std::sync::atomic::Ordering;

use ravelin_daemon::network::pins::PinDir;

use super::LOADS;

/// A pin folder for tests without a daemon; gone when dropped.
#[derive(Debug)]
pub struct TestPins(Option<PinDir>);

impl TestPins {
    /// A fresh folder.
    #[must_use]
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it does something to the machine")]
    pub fn new() -> Self {
        let number = LOADS.fetch_add(1, Ordering::Relaxed);
        let path = format!("/sys/fs/bpf/ravelin-pins-{}-{number}", std::process::id());
        let pins = PinDir::open(path.as_ref()).expect("the bpf file system is mounted");
        Self(Some(pins))
    }

    /// The folder.
    #[must_use]
    pub fn pins(&self) -> &PinDir {
        self.0.as_ref().expect("not dropped")
    }
}

impl Drop for TestPins {
    fn drop(&mut self) {
        let _best_effort = self.0.take().map(PinDir::remove);
    }
}
