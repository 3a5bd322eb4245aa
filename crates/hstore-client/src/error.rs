//! Why a call gave no answer.

use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;

/// Why a call gave no answer. What a program decides by is `code`; the text is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A host list was empty.
    #[error("no host to connect to was named")]
    NoHost,
    /// An address makes no sense.
    #[error("`{text}` is not an address: {why}")]
    InvalidAddress {
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The key is not there, and it had to be.
    #[error("the key is not there")]
    KeyNotFound,
    /// The key of a lock, or of the place in its line, is gone.
    #[error("the lock is lost: its key is gone, with the session or without")]
    LockLost,
    /// The leadership, or the candidacy, is gone.
    #[error("the leadership is lost: its key is gone, with the session or without")]
    ElectionLost,
    /// A watch needs history that compaction dropped.
    #[error("the history that the watch needs is gone; it can begin at revision {compacted}")]
    Compacted {
        /// The oldest revision that a watch can begin at.
        compacted: Revision,
    },
    /// No node could be reached.
    #[error("no node answers at {tried}")]
    Unreachable {
        /// Where it was tried and what happened, in words.
        tried: String,
    },
    /// The cluster answered, and its answer is a refusal.
    #[error("{message}")]
    Refused {
        /// The code that the node gave.
        code: ErrorCode,
        /// The node's words.
        message: String,
    },
    /// The deadline of a call that changes nothing passed.
    #[error("no answer within {after_ms} ms ({last})")]
    Timeout {
        /// How long was waited.
        after_ms: u64,
        /// What happened last, in words.
        last: String,
    },
    /// A write was handed on and no answer came back: it may be applied, now or later.
    #[error("the write may or may not be applied, now or later ({last})")]
    OutcomeUnknown {
        /// What happened last, in words.
        last: String,
    },
    /// The node answered something that is no answer to what was asked.
    #[error("the node's answer makes no sense: {what}")]
    Nonsense {
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Error {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Error::NoHost | Error::InvalidAddress { .. } => ErrorCode::InvalidArgument,
            Error::KeyNotFound => ErrorCode::KeyNotFound,
            Error::LockLost => ErrorCode::LockLost,
            Error::ElectionLost => ErrorCode::ElectionLost,
            Error::Compacted { .. } => ErrorCode::Compacted,
            Error::Unreachable { .. } => ErrorCode::Unreachable,
            Error::Refused { code, .. } => *code,
            Error::Timeout { .. } => ErrorCode::Timeout,
            Error::OutcomeUnknown { .. } => ErrorCode::OutcomeUnknown,
            Error::Nonsense { .. } => ErrorCode::Internal,
        }
    }
}
