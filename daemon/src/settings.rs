//! What a daemon is told on its command line: where things are. What it shall do stands in the policy.

use std::path::{Path, PathBuf};

/// The options of `ravelin filter`, `ravelin edge` and `ravelin run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The policy file.
    pub config: PathBuf,
    /// The filter's control socket.
    pub socket: PathBuf,
    /// The edge's control socket.
    pub edge_socket: PathBuf,
    /// Where links and maps are pinned.
    pub pin_dir: PathBuf,
    /// Where the last good policy is kept for the next boot.
    pub state_dir: PathBuf,
    /// What is logged.
    pub log_level: String,
}

/// The filter's control socket when none is named.
pub const SOCKET: &str = "/run/ravelin/control.sock";

/// The edge's control socket when none is named. In a folder of its own: the edge may write there, and must not be able to
/// put a socket where the filter's is looked for.
pub const EDGE_SOCKET: &str = "/run/ravelin-edge/edge.sock";

/// The pin folder when none is named.
pub const PIN_DIR: &str = "/sys/fs/bpf/ravelin";

/// The state folder when none is named.
pub const STATE_DIR: &str = "/var/lib/ravelin";

/// The policy when none is named.
pub const CONFIG: &str = "/etc/ravelin/ravelin.toml";

/// The edge's control socket that goes with the filter's: each default with the other, else both in one folder.
#[must_use]
pub fn edge_socket_beside(socket: &Path) -> PathBuf {
    if socket == Path::new(SOCKET) {
        PathBuf::from(EDGE_SOCKET)
    } else {
        socket.with_file_name("edge.sock")
    }
}
