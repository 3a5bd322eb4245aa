//! What the log carries: requests to change the store, checked at the door, valid ever after.

use bytes::Bytes;

use crate::alarm::AlarmChange;
use crate::auth::{AuthCommand, Author};
use crate::id::{Incarnation, LogIndex, NodeId, Revision};
use crate::key::KeyRange;
use crate::range::Range;
use crate::settings::ChangeSettings;

/// A request that goes through the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Raise or clear an alarm.
    Alarm(AlarmChange),
    /// Change users, roles, or whether they count.
    Auth(AuthCommand),
    /// Change settings of the cluster or of its nodes.
    ChangeSettings(ChangeSettings),
    /// Drop the history below a revision.
    Compact(Compact),
    /// Delete the keys of a range.
    Delete(Delete),
    /// Give a data folder its node id: the id that the same incarnation got before, or else the
    /// log index of this very entry (the next free id when the same entry gave that one away).
    /// A folder whose peers reach it where an id is reserved gets that id.
    AllocateNode {
        /// The data folder that asks.
        incarnation: Incarnation,
        /// Where its peers reach it; empty when it does not say.
        peer_address: String,
    },
    /// End the leases whose time is over, with their keys, each in one revision. The time is that
    /// of the log entry; the leader proposes this, and nobody else needs to.
    ExpireLeases,
    /// Make a lease.
    GrantLease(GrantLease),
    /// Write one key.
    Put(Put),
    /// Give a reserved id up: nobody will ever have it.
    ReleaseNode {
        /// Which.
        node: NodeId,
    },
    /// Give a lease its full time to live again.
    RenewLease {
        /// Which.
        lease: i64,
    },
    /// Keep a node id for the node that will start at an address, or change that address.
    ReserveNode(ReserveNode),
    /// End a lease and delete its keys, in one revision.
    RevokeLease {
        /// Which.
        lease: i64,
    },
    /// Compare, then do one of two lists of operations, all in one revision.
    Txn(Txn),
}

/// A command and the request it answers, as it is forwarded and logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Set by clients that want to retry safely; a command without one is applied as often as it
    /// is proposed.
    pub request: Option<RequestId>,
    /// Who asks: what they may do is decided where the command is applied.
    pub author: Author,
    /// What to do.
    pub command: Command,
}

/// Names one request of one client, so that a retry is applied at most once (Raft thesis,
/// section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The client, drawn at random when it begins.
    pub client: u64,
    /// The client's own count of requests, from 1.
    pub sequence: u64,
    /// Every request of the client below this number has its answer: their outcomes may go.
    pub answered_below: u64,
    /// The applied index that the client saw before its first request. A session that was
    /// forgotten after this index cannot be told from a new one, so it is refused as expired.
    pub born: LogIndex,
}

/// Write one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: Bytes,
    /// The value; empty when `ignore_value`.
    pub value: Bytes,
    /// The lease to attach the key to, or 0.
    pub lease: i64,
    /// Answer the record that was replaced.
    pub prev_kv: bool,
    /// Keep the present value; refused when the key is not there.
    pub ignore_value: bool,
    /// Keep the present lease; refused when the key is not there.
    pub ignore_lease: bool,
}

/// Make a lease: keys can be attached to it, and go when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantLease {
    /// Its id, drawn by the door when the client named none; never 0.
    pub lease: i64,
    /// How long it lives without a renewal, in seconds; what is too short is raised.
    pub ttl: i64,
}

/// Keep a node id for the node that will start at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReserveNode {
    /// A reserved id whose address changes; none gives a new id: the log index of this very
    /// entry, or the next free one.
    pub node: Option<NodeId>,
    /// Where its peers will reach it, `host:port`.
    pub peer_address: String,
    /// It gets no vote until somebody promotes it. Of a new id only.
    pub learner: bool,
}

/// Delete the keys of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Which keys.
    pub keys: KeyRange,
    /// Answer the records that were deleted.
    pub prev_kv: bool,
}

/// Drop the history below a revision: reads at or above it answer as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compact {
    /// The oldest revision that stays readable.
    pub revision: Revision,
}

/// Compare, then do one of two lists of operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold for `then`.
    pub compare: Vec<Compare>,
    /// Done when all comparisons hold.
    pub then: Vec<Operation>,
    /// Done when one does not.
    pub otherwise: Vec<Operation>,
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Delete.
    Delete(Delete),
    /// Write.
    Put(Put),
    /// Read; sees what the steps before it wrote.
    Range(Range),
    /// A transaction within the transaction, in the same revision.
    Txn(Txn),
}

/// A comparison that must hold for every key of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Which keys. A single key that is not there compares as all zero, but never on its value.
    pub keys: KeyRange,
    /// How: the key's own on the left, the target on the right.
    pub relation: Relation,
    /// With what.
    pub target: CompareTarget,
}

/// How two things compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same.
    Equal,
    /// The key's is larger.
    Greater,
    /// The key's is smaller.
    Less,
    /// Not the same.
    NotEqual,
}

/// What a comparison looks at, with the value it looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareTarget {
    /// The create revision.
    CreateRevision(i64),
    /// The lease.
    Lease(i64),
    /// The mod revision.
    ModRevision(i64),
    /// The value.
    Value(Bytes),
    /// The version.
    Version(i64),
}
