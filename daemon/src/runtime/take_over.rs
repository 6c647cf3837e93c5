//! What an edge finds already open when it starts: sockets of the edge that runs now, or of the service manager.
//!
//! start → **take over** → edge. Happens before rights are dropped: the running edge knows us by the user we were started as.

use std::os::fd::OwnedFd;
use std::path::Path;

use socket2::{Domain, SockRef};

use super::activation;
use super::edge::EdgeError;
use crate::control::handover::{HandOver, HandOverError, take};
use crate::control::peer::operators;
use crate::control::server::ControlSocket;
use crate::transport::Inherited;

/// The means of an edge that has not begun to serve.
pub(super) struct Means {
    pub(super) control: ControlSocket,
    pub(super) inherited: Inherited,
    /// The edge that is to be told when this one serves.
    pub(super) predecessor: Option<HandOver>,
}

/// Gets them: with `take_over` from the edge that answers on `socket`, if one does.
pub(super) fn means(socket: &Path, take_over: bool) -> Result<Means, EdgeError> {
    let mut descriptors = activation::descriptors()?;
    let taken = if take_over {
        take(socket).map(Some)
    } else {
        Ok(None)
    };
    let (control, predecessor) = match taken {
        Ok(Some((theirs, predecessor))) => {
            let (mut control, sockets): (Vec<_>, Vec<_>) = theirs.into_iter().partition(is_unix);
            descriptors.extend(sockets);
            let control = control.pop().ok_or(EdgeError::NoControlSocket)?;
            (ControlSocket::adopt(control, socket)?, Some(predecessor))
        }
        // Whether it is the first or the next start is not the operator's to know.
        Ok(None) | Err(HandOverError::Nobody) => (
            ControlSocket::bind(socket, operators().map(|group| group.gid))?,
            None,
        ),
        Err(error) => return Err(error.into()),
    };
    Ok(Means {
        control,
        inherited: Inherited::sort(descriptors)?,
        predecessor,
    })
}

fn is_unix(descriptor: &OwnedFd) -> bool {
    SockRef::from(descriptor)
        .domain()
        .is_ok_and(|domain| domain == Domain::UNIX)
}
