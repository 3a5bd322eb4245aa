//! What came of a command: the same on every node. A refusal is an outcome, never an error.

use crate::alarm::Alarm;
use crate::auth::AuthRefusal;
use crate::error::ErrorCode;
use crate::id::{LeaseTime, NodeId, Revision};
use crate::range::RangeResult;
use crate::record::Record;
use crate::settings::SettingsVersion;

/// What came of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The store's revision after the command.
    pub revision: Revision,
    /// The answer, or why there is none.
    pub result: Result<Reply, Refusal>,
}

/// The answer to a command or to one step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The alarms that a change was about.
    Alarms(Vec<Alarm>),
    /// Users or roles changed as asked for, or were so already.
    Auth,
    /// The history below the revision is gone.
    Compact,
    /// Keys were deleted.
    Delete {
        /// How many.
        deleted: u64,
        /// The records as they were, if asked for.
        previous: Vec<Record>,
    },
    /// What came of a command about leases.
    Lease(LeaseReply),
    /// The node id that was given, kept or given up.
    Node(NodeId),
    /// The key was written.
    Put {
        /// The record that was replaced, if asked for and there.
        previous: Option<Record>,
    },
    /// What a read within a transaction saw.
    Range(RangeResult),
    /// The settings are as asked for; that is this version of them.
    Settings(SettingsVersion),
    /// The transaction ran.
    Txn {
        /// Whether all comparisons held.
        succeeded: bool,
        /// One reply for each step of the branch that ran.
        replies: Vec<Reply>,
    },
    /// It was done, and what came of it is more than one outcome may tell.
    Untold,
}

/// The answer to a command about leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseReply {
    /// Leases whose time was over are gone, and their keys with them.
    Expired {
        /// How many.
        count: u64,
        /// Whether the time of more of them is over.
        more: bool,
    },
    /// The lease was made.
    Granted {
        /// Its time to live in seconds, raised if it was too short.
        ttl: i64,
    },
    /// The lease has its full time again.
    Renewed {
        /// That is so many seconds.
        ttl: i64,
    },
    /// The lease is gone, and its keys with it.
    Revoked,
}

/// Why a valid command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An id is reserved for this address already.
    #[error("a member at this peer address is expected already")]
    AddressReserved,
    /// For reasons of users and roles.
    #[error(transparent)]
    Auth(#[from] AuthRefusal),
    /// The revision asked for was dropped by compaction.
    #[error("the history before revision {compacted} is compacted")]
    Compacted {
        /// The oldest revision that is readable.
        compacted: Revision,
    },
    /// An alarm says that data is damaged: nothing is changed.
    #[error("an alarm says that the data of a node is damaged")]
    Corrupt,
    /// The revision asked for does not exist yet.
    #[error("revision is above the current one, {current}")]
    FutureRevision {
        /// The current revision.
        current: Revision,
    },
    /// The bytes in the log are not a command that this version knows.
    #[error("the log holds a command that is not understood")]
    Malformed,
    /// `ignore_value` or `ignore_lease` of a key that is not there.
    #[error("the key is not there")]
    KeyNotFound,
    /// A lease with this id exists.
    #[error("a lease with this id exists")]
    LeaseExists,
    /// The lease does not exist, or its time is over.
    #[error("the lease does not exist")]
    LeaseNotFound,
    /// The settings give this name to another node.
    #[error("another node is given this name")]
    NameTaken,
    /// No node ever had this id.
    #[error("there is no such node")]
    NoSuchNode,
    /// No id is reserved under this number.
    #[error("no id is reserved under this number")]
    NotReserved,
    /// An alarm says that a node has no room left: nothing may grow.
    #[error("an alarm says that a node has no room left")]
    NoSpace,
    /// The request ran before, but what came of it is not kept: it was too large, or the client
    /// said that it has the answer. This attempt changed nothing.
    #[error("the request ran before, but what came of it is not kept")]
    OutcomeForgotten,
    /// The revision cannot grow any further; the store is read-only from here on.
    #[error("the store has no revision left")]
    RevisionsExhausted,
    /// The session of the request is forgotten, so a repetition could not be told from a first
    /// attempt. This attempt changed nothing.
    #[error("the client's session is forgotten")]
    SessionExpired,
    /// More requests of one client wait for their answers than a session keeps.
    #[error("the client has too many requests without an answer")]
    SessionFull,
    /// The settings are not those any more that whoever asks has seen.
    #[error("the settings were changed meanwhile: they are at version {version}")]
    SettingsChanged {
        /// What they are at.
        version: SettingsVersion,
    },
    /// There are as many alarms as there may be.
    #[error("there are as many alarms as there may be")]
    TooManyAlarms,
    /// There are as many leases as there may be.
    #[error("there are as many leases as there may be")]
    TooManyLeases,
    /// As many ids are reserved as there may be.
    #[error("as many members as there may be are expected and did not start yet")]
    TooManyReserved,
    /// As many nodes have settings of their own as there may be.
    #[error("as many nodes as there may be have settings of their own")]
    TooManySettings,
}

/// What is known of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseState {
    /// How long it lives without a renewal, in seconds.
    pub ttl: i64,
    /// When its time is over unless it is renewed.
    pub ends: LeaseTime,
}

impl Refusal {
    /// The code that the refusal travels with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Refusal::AddressReserved => ErrorCode::PeerAddressTaken,
            Refusal::Auth(refusal) => refusal.code(),
            Refusal::Compacted { .. } => ErrorCode::Compacted,
            Refusal::Corrupt => ErrorCode::DataCorrupt,
            Refusal::FutureRevision { .. } => ErrorCode::FutureRevision,
            Refusal::Malformed | Refusal::RevisionsExhausted => ErrorCode::Internal,
            Refusal::KeyNotFound => ErrorCode::KeyNotFound,
            Refusal::LeaseExists => ErrorCode::LeaseExists,
            Refusal::LeaseNotFound => ErrorCode::LeaseNotFound,
            Refusal::NameTaken => ErrorCode::InvalidConfig,
            Refusal::NoSuchNode | Refusal::NotReserved => ErrorCode::NodeNotFound,
            Refusal::NoSpace => ErrorCode::NoSpace,
            Refusal::OutcomeForgotten => ErrorCode::OutcomeUnknown,
            Refusal::SessionExpired => ErrorCode::SessionExpired,
            Refusal::SettingsChanged { .. } => ErrorCode::Conflict,
            Refusal::SessionFull
            | Refusal::TooManyAlarms
            | Refusal::TooManyReserved
            | Refusal::TooManySettings => ErrorCode::Overloaded,
            Refusal::TooManyLeases => ErrorCode::TooManyLeases,
        }
    }
}
