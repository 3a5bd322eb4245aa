//! What a user may do, from all their roles together.
//!
//! Invariant: derived from the roles and nothing else, so it may be thrown away at any time.

use super::{Permission, ROOT_ROLE};
use crate::key::KeyRange;
use crate::spans::Spans;

/// What a user may do. Two permissions that meet cover what neither does alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Rights {
    is_root: bool,
    read: Spans,
    write: Spans,
}

impl Rights {
    /// The rights of a user with these roles.
    pub(super) fn of<'r>(
        mut names: impl Iterator<Item = &'r str>,
        permissions: impl Iterator<Item = &'r Permission>,
    ) -> Rights {
        let mut rights = Rights {
            is_root: names.any(|name| name == ROOT_ROLE),
            ..Rights::default()
        };
        for Permission { keys, access } in permissions {
            if access.reads() {
                rights.read.add(keys);
            }
            if access.writes() {
                rights.write.add(keys);
            }
        }
        rights
    }

    pub(super) fn is_root(&self) -> bool {
        self.is_root
    }

    pub(super) fn may_read(&self, keys: &KeyRange) -> bool {
        self.is_root || self.read.cover(keys)
    }

    pub(super) fn may_write(&self, keys: &KeyRange) -> bool {
        self.is_root || self.write.cover(keys)
    }
}
