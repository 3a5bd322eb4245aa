//! What the door refuses before anything is proposed, as etcd does: shape and size of a request,
//! never the state of the store.
//!
//! Invariants: (1) a command that passes can be applied for ever after; (2) no check takes more
//! than about n log n for a request of n bytes.

use crate::command::{
    Command, Compact, CompareTarget, Delete, GrantLease, Operation, Put, ReserveNode, Txn,
};
use crate::error::ErrorCode;
use crate::key::KeyRange;
use crate::limits::{ADDRESS_BYTES_MAX, LEASE_TTL_MAX_S, Limits, TXN_DEPTH_CEILING};
use crate::range::Range;
use crate::settings::SettingViolation;

pub use auth::auth;
use writes::Writes;

mod auth;
mod writes;

/// Why a request is refused at the door. The texts are ours; etcd's are in hstore-proto.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The address of a node is longer than any host's name.
    #[error("the address is longer than {limit} bytes")]
    AddressTooLong {
        /// How long it may be.
        limit: usize,
    },
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
    /// A lease without an id: the door draws one before it asks.
    #[error("the lease has no id")]
    LeaseWithoutId,
    /// A time to live is longer than a lease may have.
    #[error("the time to live is {ttl} s, the limit is {LEASE_TTL_MAX_S} s")]
    LeaseTtlTooLarge {
        /// How long it is, in seconds.
        ttl: i64,
    },
    /// A node is expected nowhere.
    #[error("the peer address is missing")]
    NoAddress,
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
    /// The name of a user or a role, or the hash of a password, is longer than the limit.
    #[error("a name has {bytes} bytes, the limit is {limit}")]
    NameTooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A change of the settings that cannot be.
    #[error(transparent)]
    Setting(#[from] SettingViolation),
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
            Violation::AddressTooLong { .. }
            | Violation::LeaseProvided
            | Violation::LeaseWithoutId
            | Violation::NameTooLong { .. }
            | Violation::NoAddress
            | Violation::ValueProvided => ErrorCode::InvalidArgument,
            Violation::Setting(violation) => violation.code(),
            Violation::LeaseTtlTooLarge { .. } => ErrorCode::LeaseTtlTooLarge,
            Violation::RequestTooLarge { .. } => ErrorCode::RequestTooLarge,
            Violation::TooManyOperations { .. } | Violation::TxnTooDeep { .. } => {
                ErrorCode::TooManyOperations
            }
        }
    }
}

/// Checks any command.
pub fn command(command: &Command, limits: &Limits) -> Result<(), Violation> {
    match command {
        Command::Alarm(_)
        | Command::ExpireLeases
        | Command::ReleaseNode { .. }
        | Command::RenewLease { .. }
        | Command::RevokeLease { .. } => Ok(()),
        Command::AllocateNode { peer_address, .. } => address(peer_address),
        Command::Auth(request) => auth(request, limits),
        Command::ChangeSettings(request) => Ok(request.check()?),
        Command::ReserveNode(request) => reserve_node(request),
        Command::Compact(request) => compact(request, limits),
        Command::Delete(request) => delete(request, limits),
        Command::GrantLease(request) => grant_lease(*request),
        Command::Put(request) => put(request, limits),
        Command::Txn(request) => txn(request, limits),
    }
}

/// Checks the size of a request in the form in which it travels and is logged. The other checks
/// count keys and values alone, which is enough to refuse early what is far too large.
pub fn encoded(bytes: usize, limits: &Limits) -> Result<(), Violation> {
    let limit = limits.request_bytes_max;
    if bytes > limit {
        return Err(Violation::RequestTooLarge { bytes, limit });
    }
    Ok(())
}

/// Checks the reservation of a node id.
pub fn reserve_node(request: &ReserveNode) -> Result<(), Violation> {
    if request.peer_address.is_empty() {
        return Err(Violation::NoAddress);
    }
    address(&request.peer_address)
}

/// Checks an address of a node; an empty one says nothing.
pub fn address(address: &str) -> Result<(), Violation> {
    if address.len() > ADDRESS_BYTES_MAX {
        let limit = ADDRESS_BYTES_MAX;
        return Err(Violation::AddressTooLong { limit });
    }
    Ok(())
}

/// Checks a put.
pub fn put(put: &Put, limits: &Limits) -> Result<(), Violation> {
    put_alone(put, limits)?;
    encoded(size_of_put(put), limits)
}

/// Checks a delete.
pub fn delete(delete: &Delete, limits: &Limits) -> Result<(), Violation> {
    keys(&delete.keys, limits)
}

/// Checks a range.
pub fn range(range: &Range, limits: &Limits) -> Result<(), Violation> {
    keys(&range.keys, limits)
}

/// Checks a compaction: the machine refuses what cannot be compacted, so the door refuses none.
pub fn compact(_compact: &Compact, _limits: &Limits) -> Result<(), Violation> {
    Ok(())
}

/// Checks that a lease can be made. One that does not exist is no business of the door.
pub fn grant_lease(grant: GrantLease) -> Result<(), Violation> {
    let GrantLease { lease, ttl } = grant;
    if lease == 0 {
        return Err(Violation::LeaseWithoutId);
    }
    if ttl > LEASE_TTL_MAX_S {
        return Err(Violation::LeaseTtlTooLarge { ttl });
    }
    Ok(())
}

/// Checks a transaction.
pub fn txn(txn: &Txn, limits: &Limits) -> Result<(), Violation> {
    let depth = limits.txn_depth_max.min(TXN_DEPTH_CEILING);
    level(txn, limits.txn_operations_max, depth, limits)?;
    Writes::of(&txn.then)?;
    Writes::of(&txn.otherwise)?;
    encoded(size_of_txn(txn), limits)
}

fn put_alone(put: &Put, limits: &Limits) -> Result<(), Violation> {
    key(&put.key, limits)?;
    if put.ignore_value && !put.value.is_empty() {
        return Err(Violation::ValueProvided);
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(Violation::LeaseProvided);
    }
    Ok(())
}

fn key(key: &[u8], limits: &Limits) -> Result<(), Violation> {
    if key.is_empty() {
        return Err(Violation::EmptyKey);
    }
    not_too_large(key, limits)
}

fn keys(keys: &KeyRange, limits: &Limits) -> Result<(), Violation> {
    key(keys.start(), limits)?;
    match keys {
        KeyRange::Span { end, .. } => not_too_large(end, limits),
        KeyRange::One(_) | KeyRange::From(_) => Ok(()),
    }
}

fn not_too_large(key: &[u8], limits: &Limits) -> Result<(), Violation> {
    let (bytes, limit) = (key.len(), limits.key_bytes_max);
    if bytes > limit {
        return Err(Violation::KeyTooLarge { bytes, limit });
    }
    Ok(())
}

/// Checks one level of a transaction and those within it. As in etcd, the largest of its three
/// lists counts, and the levels within it have what is left of the limit.
fn level(txn: &Txn, operations: usize, depth: usize, limits: &Limits) -> Result<(), Violation> {
    let Some(depth) = depth.checked_sub(1) else {
        let limit = limits.txn_depth_max.min(TXN_DEPTH_CEILING);
        return Err(Violation::TxnTooDeep { limit });
    };
    let (then, otherwise) = (txn.then.len(), txn.otherwise.len());
    let largest = txn.compare.len().max(then).max(otherwise);
    let Some(left) = operations.checked_sub(largest) else {
        let limit = limits.txn_operations_max;
        return Err(Violation::TooManyOperations { limit });
    };
    for compare in &txn.compare {
        keys(&compare.keys, limits)?;
    }
    for operation in txn.then.iter().chain(&txn.otherwise) {
        match operation {
            Operation::Delete(request) => delete(request, limits)?,
            Operation::Put(put) => put_alone(put, limits)?,
            Operation::Range(request) => range(request, limits)?,
            Operation::Txn(txn) => level(txn, left, depth, limits)?,
        }
    }
    Ok(())
}

fn size_of_put(put: &Put) -> usize {
    put.key.len() + put.value.len()
}

fn size_of_keys(keys: &KeyRange) -> usize {
    match keys {
        KeyRange::One(key) | KeyRange::From(key) => key.len(),
        KeyRange::Span { start, end } => start.len() + end.len(),
    }
}

fn size_of_txn(txn: &Txn) -> usize {
    let compares = txn.compare.iter().map(|compare| {
        let value = match &compare.target {
            CompareTarget::Value(value) => value.len(),
            _ => 0,
        };
        size_of_keys(&compare.keys) + value
    });
    let operations = txn.then.iter().chain(&txn.otherwise);
    let operations = operations.map(|operation| match operation {
        Operation::Delete(delete) => size_of_keys(&delete.keys),
        Operation::Put(put) => size_of_put(put),
        Operation::Range(range) => size_of_keys(&range.keys),
        Operation::Txn(txn) => size_of_txn(txn),
    });
    compares.sum::<usize>() + operations.sum::<usize>()
}
