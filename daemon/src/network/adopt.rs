//! Opens what an earlier process pinned, and finds out whether it still is what it was.
//!
//! pin folder → **adopt** → attach. A pinned link outlives its process, and its interface may have gone or been replaced by
//! another of the same name since; the kernel tells which, in `/proc/self/fdinfo`.

use std::fs;
use std::path::Path;

use aya::programs::links::{FdLink, LinkError, LinkType, PinnedLink};
use ravelin_datapath::Direction;

/// A pinned link: of XDP, or of TCX.
#[derive(Debug)]
pub struct Pinned {
    link: PinnedLink,
    /// The link's id.
    pub id: u32,
    /// The id of the program it holds.
    pub program: u32,
    /// The interface it is on; `None` when that interface is gone.
    pub interface: Option<u32>,
}

impl Pinned {
    /// Opens the link of this direction pinned at `path`; `None` when nothing is pinned there.
    ///
    /// # Errors
    ///
    /// When what is pinned there is no link of that kind, or the kernel does not tell about it.
    pub fn open(direction: Direction, path: &Path) -> Result<Option<Self>, AdoptError> {
        if !path.exists() {
            return Ok(None);
        }
        let failed = |source| AdoptError::Open {
            path: path.display().to_string(),
            source,
        };
        let fd_link = FdLink::from(PinnedLink::from_pin(path).map_err(failed)?);
        let info = fd_link.info().map_err(failed)?;
        let kind = match (direction, info.link_type()) {
            (Direction::Inbound, Ok(LinkType::Xdp)) | (Direction::Outbound, Ok(LinkType::Tcx)) => None,
            (Direction::Inbound, _) => Some("an XDP"),
            (Direction::Outbound, _) => Some("a TCX"),
        };
        if let Some(kind) = kind {
            return Err(AdoptError::Foreign {
                path: path.display().to_string(),
                kind,
            });
        }
        let (id, program) = (info.id(), info.program_id());
        let interface = interface_of(id).ok_or_else(|| AdoptError::Silent(path.display().to_string()))?;
        Ok(Some(Self {
            // Opened again: aya turns a pinned link into a plain one, not back.
            link: PinnedLink::from_pin(path).map_err(failed)?,
            id,
            program,
            interface: (interface != 0).then_some(interface),
        }))
    }

    /// The link, to be updated. The pin stays.
    ///
    /// # Errors
    ///
    /// When it is no link of the kind that is asked for.
    pub fn into_link<L: TryFrom<FdLink, Error = LinkError>>(self) -> Result<L, LinkError> {
        FdLink::from(self.link).try_into()
    }
}

/// Why something pinned cannot be adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// Something else is pinned under our name.
    #[error("what is pinned at `{path}` is not {kind} link: remove it, or use another `--pin-dir`")]
    Foreign {
        /// The pin.
        path: String,
        /// What it should be, with its article.
        kind: &'static str,
    },
    /// The pin cannot be opened.
    #[error("cannot open the link pinned at `{path}`")]
    Open {
        /// The pin.
        path: String,
        /// Why.
        source: LinkError,
    },
    /// The kernel does not say which interface the link is on.
    #[error("cannot tell which interface the link pinned at `{0}` is on: is /proc mounted?")]
    Silent(String),
}

/// The interface index of an open link, 0 when its interface is gone. aya keeps the descriptor to itself, so every open
/// descriptor's facts are looked through for the link's id.
fn interface_of(link: u32) -> Option<u32> {
    let wanted = link.to_string();
    fs::read_dir("/proc/self/fdinfo")
        .ok()?
        .flatten()
        .find_map(|entry| {
            let facts = fs::read_to_string(entry.path()).ok()?;
            let of = |name: &str| {
                let line = facts.lines().find_map(|line| line.strip_prefix(name))?;
                Some(line.trim_start_matches(':').trim())
            };
            (of("link_id") == Some(&wanted))
                .then(|| of("ifindex")?.parse().ok())
                .flatten()
        })
}
