//! What is claimed and what comes of it. Words only.

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::check::{self, Violation};
use hstore_core::claim;
use hstore_core::command::Put;
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::limits::Limits;
use hstore_core::outcome::Refusal;

use crate::error::NodeError;
use crate::status::Header;

/// A place in a line that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who wants it: with whose rights the key is written, and the line read and watched.
    pub author: Author,
    /// The name of the line.
    pub name: Bytes,
    /// What the place hangs on.
    pub lease: ClaimLease,
    /// What for.
    pub kind: ClaimKind,
}

/// The lease of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimLease {
    /// One that the caller has. Two claims with one lease are one place in the line.
    Named(i64),
    /// A new one with this id, that nobody renews.
    Fresh(i64),
}

impl ClaimLease {
    /// Its id.
    pub fn id(self) -> i64 {
        match self {
            ClaimLease::Named(id) | ClaimLease::Fresh(id) => id,
        }
    }
}

/// What a claim is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimKind {
    /// To lead an election, with what is proclaimed.
    Campaign(Bytes),
    /// To hold a lock.
    Lock,
}

impl Claim {
    /// The key that stands in the line.
    pub fn key(&self) -> Bytes {
        claim::key(&self.name, self.lease.id())
    }

    /// Checks size and shape, with the words of a put of the key.
    pub fn check(&self, limits: &Limits) -> Result<(), Violation> {
        check::put(&self.put(), limits)
    }

    /// The write that stands in line.
    pub(super) fn put(&self) -> Put {
        Put {
            key: self.key(),
            value: match &self.kind {
                ClaimKind::Campaign(value) => value.clone(),
                ClaimKind::Lock => Bytes::new(),
            },
            lease: self.lease.id(),
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        }
    }

    /// All keys of the line.
    pub(super) fn line(&self) -> KeyRange {
        claim::line(&self.name)
    }
}

/// A claim that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The key.
    pub key: Bytes,
    /// The lease that it hangs on.
    pub lease: i64,
    /// The create revision of the key. It grows from holder to holder, so that whoever compares it
    /// in the transaction that writes cannot write after it lost the lock.
    pub token: Revision,
    /// The store's revision when the claim stood in line.
    pub joined: Revision,
    /// The read that granted it.
    pub header: Header,
}

/// Why a claim was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Its key is gone, or belongs to a later claim: the lease ended, or somebody deleted it.
    #[error("the key of the claim is gone: its lease ended, or somebody deleted it")]
    Lost,
    /// The node gave no answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The deadline passed while others were before it.
    #[error("the deadline passed while others were before the claim")]
    NotInTime,
    /// The store refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl ClaimError {
    /// The stable code of an error of a claim for this.
    pub fn code(&self, kind: &ClaimKind) -> ErrorCode {
        match (self, kind) {
            (ClaimError::Lost, ClaimKind::Campaign(_)) => ErrorCode::ElectionLost,
            (ClaimError::Lost, ClaimKind::Lock) => ErrorCode::LockLost,
            (ClaimError::Node(error), _) => error.code(),
            (ClaimError::NotInTime, _) => ErrorCode::Timeout,
            (ClaimError::Refused(refusal), _) => refusal.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_too_long_is_refused_with_its_lease_counted() {
        let limits = Limits {
            key_bytes_max: 8,
            ..Limits::default()
        };
        let claim = |name: &'static str| Claim {
            author: Author::Nobody,
            name: name.into(),
            lease: ClaimLease::Named(255),
            kind: ClaimKind::Lock,
        };
        assert_eq!(claim("12345").check(&limits), Ok(()));
        let refused = claim("123456").check(&limits);
        assert_eq!(refused, Err(Violation::KeyTooLarge { bytes: 9, limit: 8 }));
    }
}
