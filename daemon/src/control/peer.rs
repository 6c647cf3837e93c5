//! Who is at the other end, as the kernel knows it, and what standing that gives.
//!
//! Credentials are read once, at accept (`SO_PEERCRED`): those of the process that connected, at that moment.

use nix::unistd::{Gid, Group, User, geteuid};

/// A connected process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its process id; `None` when it lives in a pid namespace we do not see.
    pub pid: Option<i32>,
}

/// What a peer is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Root, the daemon's own user, or the group `ravelin`.
    Operator,
    /// The user that `ravelin edge` runs as.
    Edge,
    /// Anybody else.
    Stranger,
}

/// The users and groups that have a standing. Read once at start: a look-up at every connection could be slow, and a peer
/// could make us do it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    own: u32,
    edge: Option<u32>,
    group: Option<u32>,
    members: Vec<u32>,
}

impl Access {
    /// The access to a filter: the edge's user has a place.
    #[must_use]
    pub fn to_filter() -> Self {
        Self {
            edge: edge_user().map(|user| user.uid.as_raw()),
            ..Self::to_edge()
        }
    }

    /// The access to an edge.
    #[must_use]
    pub fn to_edge() -> Self {
        let group = operators();
        let members = group
            .iter()
            .flat_map(|group| &group.mem)
            .filter_map(|name| User::from_name(name).ok().flatten());
        Self {
            own: geteuid().as_raw(),
            edge: None,
            members: members.map(|user| user.uid.as_raw()).collect(),
            group: group.map(|group| group.gid.as_raw()),
        }
    }

    /// What `peer` is to us.
    #[must_use]
    pub fn standing(&self, peer: Peer) -> Standing {
        if peer.uid == 0 || peer.uid == self.own {
            return Standing::Operator;
        }
        // Before the group: the edge may be a member so that it can reach the socket, and must not gain by it.
        if self.edge == Some(peer.uid) {
            return Standing::Edge;
        }
        if self.group == Some(peer.gid) || self.members.contains(&peer.uid) {
            return Standing::Operator;
        }
        Standing::Stranger
    }
}

/// The user that the edge runs as: `ravelin-edge`, else `nobody`.
#[must_use]
pub fn edge_user() -> Option<User> {
    [EDGE_USER, FALLBACK_USER]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
}

/// The group that may connect to the control socket: `ravelin`, else the edge's own, so that the edge can ask for metrics and bans.
#[must_use]
pub fn socket_group() -> Option<Gid> {
    operators()
        .map(|group| group.gid)
        .or_else(|| edge_user().map(|user| user.gid))
}

/// The group whose members are operators.
#[must_use]
pub fn operators() -> Option<Group> {
    Group::from_name(OPERATORS).ok().flatten()
}

const EDGE_USER: &str = "ravelin-edge";
const FALLBACK_USER: &str = "nobody";
const OPERATORS: &str = "ravelin";

#[cfg(test)]
mod tests {
    use super::{Access, Peer, Standing};

    const ACCESS: fn() -> Access = || Access {
        own: 900,
        edge: Some(901),
        group: Some(50),
        members: vec![901, 1000],
    };

    #[track_caller]
    fn standing(uid: u32, gid: u32) -> Standing {
        ACCESS().standing(Peer { uid, gid, pid: None })
    }

    #[test]
    fn root_the_daemon_itself_and_the_group_are_operators() {
        assert_eq!(standing(0, 0), Standing::Operator);
        assert_eq!(standing(900, 900), Standing::Operator);
        assert_eq!(standing(5, 50), Standing::Operator);
        assert_eq!(standing(1000, 1000), Standing::Operator);
    }

    #[test]
    fn the_edge_stays_the_edge_also_as_a_member_of_the_group() {
        assert_eq!(standing(901, 901), Standing::Edge);
        assert_eq!(standing(901, 50), Standing::Edge);
    }

    #[test]
    fn everybody_else_is_a_stranger() {
        assert_eq!(standing(1001, 1001), Standing::Stranger);
    }

    #[test]
    fn without_groups_and_users_only_root_and_the_daemon_are_known() {
        let access = Access {
            own: 900,
            ..Access::default()
        };
        let peer = |uid| Peer {
            uid,
            gid: 0,
            pid: None,
        };
        assert_eq!(access.standing(peer(901)), Standing::Stranger);
    }
}
