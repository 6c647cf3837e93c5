//! Tells the service manager how far we are (sd_notify(3)). Without one, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::interval;

/// Started: everything that was asked for is in place.
pub(super) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload has begun; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// Stopping, and done within `patience`, which may be longer than the unit allows for.
pub(super) fn stopping(patience: Duration) {
    // Not `ExtendTimeoutUsec`, whose 32 bits end at 71 minutes.
    let extend = format!("EXTEND_TIMEOUT_USEC={}", patience.as_micros());
    send(&[NotifyState::Stopping, NotifyState::Custom(&extend)]);
}

/// Says "still alive" twice in the time that the service manager waits; never returns.
pub(super) async fn heartbeat() {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = interval(patience / 2);
    loop {
        ticks.tick().await;
        send(&[NotifyState::Watchdog]);
    }
}

fn send(state: &[NotifyState<'_>]) {
    // Nobody to tell, or nobody listens: neither is a reason to stop filtering.
    let _unheard = sd_notify::notify(state);
}
