//! Whether a connection that was let in would be let in now.
//!
//! reload → live → **review** → its end. After a reload every connection is told to look again: it asks the listener that has its
//! listener's name now. A listener that is gone has nothing to say: its connections go on, as they would have without a reload.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwapWeak;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::listener::Listener;
use super::live::{Order, Orders};
use super::open::Opened;
use crate::metrics::labels::{ClientRefusal, Closure, LabelValue as _, Refusal};
use crate::wall_clock::unix_now;

/// The listener of one name as it is served now; dead when there is none. Shared by all that had the name one after the other, so it must
/// not keep them alive.
#[derive(Clone, Debug)]
pub(super) struct Present(Arc<ArcSwapWeak<Listener>>);

/// What a connection was let in for. Filled in as it is learnt.
#[derive(Debug, Default)]
pub(super) struct Standing {
    client: OnceLock<IpAddr>,
    proved: OnceLock<Proved>,
}

/// What a finished handshake says of a client.
#[derive(Debug)]
struct Proved {
    /// What it asked for: the route that judges it.
    server_name: Option<String>,
    /// Its certificate and those that came with it.
    chain: Option<Arc<[CertificateDer<'static>]>>,
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

    /// The handshake is done.
    pub(super) fn has_proved(&self, opened: &Opened) {
        let _only_the_first = self.proved.set(Proved {
            server_name: opened.server_name.clone(),
            chain: opened.identity().map(|identity| Arc::clone(&identity.chain)),
        });
    }

    fn client(&self) -> Option<IpAddr> {
        self.client.get().copied()
    }
}

/// Ready, with the name of the end, when the connection must end for a reason that lies outside of it.
pub(super) async fn dismissed(listener: &Arc<Listener>, standing: &Standing, orders: &mut Orders) -> Closure {
    loop {
        if orders.next().await == Order::Cut {
            return Closure::Shutdown;
        }
        if let Err(closure) = review(listener, standing) {
            return closure;
        }
    }
}

/// Asks the listener that has the name of `listener` now.
///
/// # Errors
///
/// The connection must end.
pub(super) fn review(listener: &Arc<Listener>, standing: &Standing) -> Result<(), Closure> {
    let Some(present) = listener.present.get() else {
        return Ok(());
    };
    if Arc::ptr_eq(&present, listener) {
        return Ok(());
    }
    judge(&present, standing).map_err(|reason| {
        tell(&present, standing, reason);
        Closure::NoLongerAllowed
    })
}

/// Limits are not asked: they are about new connections.
fn judge(present: &Listener, standing: &Standing) -> Result<(), &'static str> {
    if let Some(client) = standing.client()
        && !present.gate.lets_in(client, unix_now())
    {
        return Err(Refusal::Address.word());
    }
    let Some(proved) = standing.proved.get() else {
        return Ok(());
    };
    present
        .still_accepts(
            proved.server_name.as_deref(),
            proved.chain.as_deref().unwrap_or_default(),
            UnixTime::now(),
        )
        .map_err(ClientRefusal::word)
}

fn tell(present: &Listener, standing: &Standing, reason: &str) {
    if let Some(suppressed) = present.quiet.may_write(std::time::Instant::now()) {
        tracing::info!(
            listener = present.name,
            client = standing.client().map(tracing::field::display),
            with_certificate = standing.proved.get().is_some_and(|proved| proved.chain.is_some()),
            reason,
            suppressed,
            "connection closed: the new policy would not let it in"
        );
    }
}
