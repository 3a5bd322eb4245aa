//! The checks at the door.

use crate::command::{Command, Compact, Delete, Put, Txn};
use crate::error::ErrorCode;
use crate::limits::Limits;
use crate::range::Range;

/// Why a request is refused at the door. The texts are ours; etcd's are in hstore-proto.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// One branch of a transaction writes a key twice, or writes and deletes it.
    #[error("a transaction writes one key twice")]
    DuplicateKey,
    /// A key is empty.
    #[error("the key is empty")]
    EmptyKey,
    /// A key is longer than the limit.
    #[error("the key has {bytes} bytes, the limit is {limit}")]
    KeyTooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// `ignore_lease` together with a lease.
    #[error("a lease is given although the present one is to be kept")]
    LeaseProvided,
    /// A request is larger than the limit.
    #[error("the request has {bytes} bytes, the limit is {limit}")]
    RequestTooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A transaction has more operations or comparisons than the limit.
    #[error("a transaction has too many operations, the limit is {limit}")]
    TooManyOperations {
        /// How many there may be.
        limit: usize,
    },
    /// Transactions are nested deeper than the limit.
    #[error("transactions are nested too deep, the limit is {limit}")]
    TxnTooDeep {
        /// How deep they may be.
        limit: usize,
    },
    /// `ignore_value` together with a value.
    #[error("a value is given although the present one is to be kept")]
    ValueProvided,
}

impl Violation {
    /// The code that the violation travels with.
    pub fn code(&self) -> ErrorCode {
        match self {
            Violation::DuplicateKey => ErrorCode::DuplicateKey,
            Violation::EmptyKey => ErrorCode::EmptyKey,
            Violation::KeyTooLarge { .. } => ErrorCode::KeyTooLarge,
            Violation::LeaseProvided | Violation::ValueProvided => ErrorCode::InvalidArgument,
            Violation::RequestTooLarge { .. } => ErrorCode::RequestTooLarge,
            Violation::TooManyOperations { .. } | Violation::TxnTooDeep { .. } => {
                ErrorCode::TooManyOperations
            }
        }
    }
}

/// Checks any command.
pub fn command(_command: &Command, _limits: &Limits) -> Result<(), Violation> {
    todo!()
}
/// Checks the size of an encoded request.
pub fn encoded(_bytes: usize, _limits: &Limits) -> Result<(), Violation> {
    todo!()
}
/// Checks a put.
pub fn put(_put: &Put, _limits: &Limits) -> Result<(), Violation> {
    todo!()
}
/// Checks a delete.
pub fn delete(_delete: &Delete, _limits: &Limits) -> Result<(), Violation> {
    todo!()
}
/// Checks a range.
pub fn range(_range: &Range, _limits: &Limits) -> Result<(), Violation> {
    todo!()
}
/// Checks a transaction.
pub fn txn(_txn: &Txn, _limits: &Limits) -> Result<(), Violation> {
    todo!()
}
/// Checks a compaction.
pub fn compact(_compact: &Compact, _limits: &Limits) -> Result<(), Violation> {
    todo!()
}
