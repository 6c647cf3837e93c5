//! Whether a connection that was let in would be let in now.
//!
//! reload → live → **review** → its end. After a reload every connection is told to look again: it asks the listener that has its
//! listener's name now. A listener that is gone has nothing to say: its connections go on, as they would have without a reload.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwapWeak;
use rustls::pki_types::CertificateDer;

use super::listener::Listener;
use super::live::{Order, Orders};
use crate::metrics::labels::{Closure, Refusal};
use crate::wall_clock::unix_now;

/// The listener of one name as it is served now; dead when there is none. Shared by all that had the name one after the other, so it must
/// not keep them alive.
#[derive(Clone, Debug)]
pub(super) struct Present(Arc<ArcSwapWeak<Listener>>);

/// What a connection was let in for. Filled in as it is learnt.
#[derive(Debug, Default)]
pub(super) struct Standing {
    client: OnceLock<IpAddr>,
    proved: OnceLock<Arc<[CertificateDer<'static>]>>,
}

impl Present {
    pub(super) fn none() -> Self {
        Self(Arc::new(ArcSwapWeak::new(Weak::new())))
    }

    pub(super) fn set(&self, listener: &Arc<Listener>) {
        self.0.store(Arc::downgrade(listener));
    }

    fn get(&self) -> Option<Arc<Listener>> {
        self.0.load().upgrade()
    }
}

impl Standing {
    /// The address that the lists were asked for.
    pub(super) fn admitted_as(&self, client: IpAddr) {
        // A second one would be a connection with two clients.
        let _only_the_first = self.client.set(client);
    }

    /// The certificates that the client has shown in the handshake, its own first.
    pub(super) fn has_proved(&self, chain: &[CertificateDer<'static>]) {
        let _only_the_first = self.proved.set(chain.into());
    }

    pub(super) fn client(&self) -> Option<IpAddr> {
        self.client.get().copied()
    }

    /// `None`: nothing.
    pub(super) fn proved(&self) -> Option<&Arc<[CertificateDer<'static>]>> {
        self.proved.get()
    }
}

/// Ready, with the name of the end, when the connection must end for a reason that lies outside of it.
pub(super) async fn dismissed(listener: &Arc<Listener>, standing: &Standing, orders: &mut Orders) -> Closure {
    loop {
        if orders.next().await == Order::Cut {
            return Closure::Shutdown;
        }
        let Some(present) = listener.present.get() else {
            continue;
        };
        if Arc::ptr_eq(&present, listener) {
            continue;
        }
        if let Err(refusal) = present.still_admits(standing, unix_now()) {
            tell(&present, standing, refusal);
            return Closure::NoLongerAllowed;
        }
    }
}

fn tell(present: &Listener, standing: &Standing, refusal: Refusal) {
    use crate::metrics::labels::LabelValue as _;
    if let Some(suppressed) = present.quiet.may_write(std::time::Instant::now()) {
        tracing::info!(
            listener = present.name,
            client = standing.client().map(tracing::field::display),
            with_certificate = standing.proved().is_some(),
            reason = refusal.word(),
            suppressed,
            "connection closed: the new policy would not let it in"
        );
    }
}
