//! Identities and positions, each a type of its own so that no two can be swapped.
//!
//! A node id is the log index of the committed entry that allocated it (the founder is node 1),
//! therefore never used twice; an incarnation names one data folder.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

macro_rules! hexadecimal {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }
    };
}

number! {
    /// A member of the cluster; never reused, also not after its data folder was wiped.
    NodeId(u64)
}
number! {
    /// Raft's logical time: at most one leader a term.
    Term(u64)
}
number! {
    /// A position in the Raft log; the founding membership entry is at 0.
    LogIndex(u64)
}
number! {
    /// The version of the whole store: 1 when empty, one more for every mutating request or
    /// transaction, never down. In a request 0 stands for "the current one".
    Revision(i64)
}
number! {
    /// Milliseconds on the clock of the leases, which runs while somebody leads, goes on from
    /// leader to leader, and never goes back. It has nothing to do with the time of day.
    LeaseTime(u64)
}
number! {
    /// How often users and roles changed: 1 before the first change.
    AuthRevision(u64)
}
hexadecimal! {
    /// The random identity of a cluster, drawn when it is founded; never 0.
    ClusterId
}
hexadecimal! {
    /// The random identity of one data folder, drawn when it is made; never 0.
    Incarnation
}

impl Revision {
    /// The revision of a store in which nothing was ever written.
    pub const EMPTY: Revision = Revision(1);

    /// The revision after this one; the machine stops long before the end of the range.
    #[must_use]
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl AuthRevision {
    /// The revision before the first change.
    pub const FIRST: AuthRevision = AuthRevision(1);

    /// The revision after this one; nobody changes users so often that there is none.
    #[must_use]
    pub fn next(self) -> AuthRevision {
        AuthRevision(self.0.saturating_add(1))
    }
}

impl LeaseTime {
    /// So many seconds later; the end of the range is never reached by a clock that runs.
    #[must_use]
    pub fn after_seconds(self, seconds: i64) -> LeaseTime {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        LeaseTime(self.0.saturating_add(seconds.saturating_mul(1000)))
    }
}

/// The identity of a log entry: two logs that hold the same id at an index agree up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The term of the leader that proposed the entry.
    pub term: Term,
    /// The leader that proposed the entry.
    pub leader: NodeId,
    /// Where the entry stands.
    pub index: LogIndex,
}
