//! What was recorded of a run: every operation with its answer, and the log of the nodes.
//!
//! The words are the core's own, so that whoever drives a node or a client records what it holds.
//! This room knows no clock: whoever records says what time it was.
//!
//! Invariants: (1) an operation that is answered or refused has the time of that; (2) an operation
//! whose outcome is unknown may have happened at any time after it was invoked, or may happen
//! later, or never; (3) a refused operation never happened and never will.

mod line;
mod lock_line;
mod read;
mod text;
mod watch;
mod watch_line;
mod write;

use std::fmt;

use bytes::Bytes;
use hstore_core::command::{Compact, Delete, Put, Txn};
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Reply;
use hstore_core::range::Range;

pub use read::{BadLine, LINE_BYTES_MAX, ReadError};
pub use watch::{Event, Stream, Watch, Wish, Word};

/// Everything that was recorded of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The revision of the store when the run began. What is above 1 must be in the log.
    pub base: Revision,
    /// The operations of all clients, in any order, each id once.
    pub operations: Vec<Operation>,
    /// The watches of all clients, in any order, each id once.
    pub watches: Vec<Watch>,
    /// The locks that clients took.
    pub locks: Vec<Lock>,
    /// What the nodes agreed on, in the order of revisions; empty when nobody looked. From its
    /// first revision on nothing is missing.
    pub log: Vec<LogEntry>,
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name in this history.
    pub id: OperationId,
    /// Who asked.
    pub client: ClientId,
    /// When it was sent.
    pub invoked: Moment,
    /// When its answer arrived, or when the client stopped waiting.
    pub returned: Option<Moment>,
    /// What was asked.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a client asks of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Drop the history below a revision.
    Compact(Compact),
    /// Delete the keys of a range.
    Delete(Delete),
    /// Write one key.
    Put(Put),
    /// Read the keys of a range.
    Range {
        /// Which, as of when.
        range: Range,
        /// Whether the answer may be old.
        consistency: Consistency,
    },
    /// Compare, then do one of two lists of operations.
    Txn(Txn),
}

/// What a read promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// It sees every write that was answered before it began.
    #[default]
    Linearizable,
    /// It sees the store as it was at the revision that it states.
    Serializable,
}

/// What a client learned of its operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Answered {
        /// The revision in the head of the answer.
        revision: Revision,
        /// The answer.
        reply: Reply,
    },
    /// It did not happen and never will.
    Refused {
        /// Why.
        code: ErrorCode,
    },
    /// Nobody can say.
    Unknown,
}

/// What one revision wrote, as the nodes' logs have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The revision.
    pub revision: Revision,
    /// What it wrote, each key once.
    pub records: Vec<LogRecord>,
    /// The operation that it came from, when that is known.
    pub operation: Option<OperationId>,
}

/// One lock, and who was told to hold it. A lock is held by the oldest key of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The keys that stand in line for it.
    pub line: KeyRange,
    /// The key that only its holder writes: the value begins with the fencing token, in decimal digits.
    pub protects: Option<Bytes>,
    /// Who was told to hold it, in any order.
    pub grants: Vec<Grant>,
}

/// A lock that somebody was told to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The key by which it is held.
    pub key: Bytes,
    /// The fencing token: the revision that created the key.
    pub token: Revision,
    /// The revision of the read that granted it.
    pub at: Revision,
}

/// One key that a revision wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// The key.
    pub key: Bytes,
    /// Its value from here on; absent when it was deleted.
    pub value: Option<Bytes>,
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number! {
    /// Names an operation within its history.
    OperationId
}
number! {
    /// Names a watch within its history.
    WatchId
}
number! {
    /// Names a client within its history. A client may have several operations under way.
    ClientId
}
number! {
    /// Nanoseconds since some moment before the run. All clients share the clock.
    Moment
}

impl History {
    /// A history of a store that began empty, with nothing in it yet.
    pub fn new() -> History {
        History::default()
    }
}

impl Default for History {
    fn default() -> History {
        History {
            base: Revision::EMPTY,
            operations: Vec::new(),
            watches: Vec::new(),
            locks: Vec::new(),
            log: Vec::new(),
        }
    }
}

impl Operation {
    /// The answer, if there is one.
    pub fn answer(&self) -> Option<(Revision, &Reply)> {
        match &self.outcome {
            Outcome::Answered { revision, reply } => Some((*revision, reply)),
            Outcome::Refused { .. } | Outcome::Unknown => None,
        }
    }

    /// Whether the outcome is unknown.
    pub fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown)
    }

    /// Whether a later answer may show what an earlier one no longer did.
    pub fn is_serializable(&self) -> bool {
        match &self.call {
            Call::Range { consistency, .. } => *consistency == Consistency::Serializable,
            Call::Compact(_) | Call::Delete(_) | Call::Put(_) | Call::Txn(_) => false,
        }
    }
}

impl Call {
    /// Whether the call could write a record.
    pub fn may_write(&self) -> bool {
        fn writes(txn: &Txn) -> bool {
            use hstore_core::command::Operation;
            txn.then
                .iter()
                .chain(&txn.otherwise)
                .any(|step| match step {
                    Operation::Delete(_) | Operation::Put(_) => true,
                    Operation::Range(_) => false,
                    Operation::Txn(txn) => writes(txn),
                })
        }
        match self {
            Call::Delete(_) | Call::Put(_) => true,
            Call::Compact(_) | Call::Range { .. } => false,
            Call::Txn(txn) => writes(txn),
        }
    }
}
