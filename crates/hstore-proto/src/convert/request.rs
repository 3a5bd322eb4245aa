//! From the wire to commands and reads, with every check of the door.
//!
//! The rules are etcd's (server/etcdserver/api/v3rpc/key.go describes them); where etcd lets
//! nonsense pass silently (an unknown comparison), we refuse it. Nesting is bounded twice: by the
//! decoder of the messages (100 levels), which keeps this room's recursion short, and by the
//! limits of the core.

use hstore_core::check::{self, Violation};
use hstore_core::command::{
    Compact, Compare, CompareTarget, Delete, Operation, Put, Relation, Txn,
};
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::limits::Limits;
use hstore_core::range::{Filter, Range, Sort, SortTarget};
use prost::Message;

use crate::convert::keys;
use crate::etcdserverpb::compare::{CompareResult, CompareTarget as WireTarget, TargetUnion};
use crate::etcdserverpb::range_request::{SortOrder, SortTarget as WireSort};
use crate::etcdserverpb::request_op::Request;
use crate::etcdserverpb::{
    CompactionRequest, Compare as WireCompare, DeleteRangeRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest,
};

/// Why a request is refused before it is a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A check of the core.
    #[error(transparent)]
    Check(#[from] Violation),
    /// The sort order or the sort target is a number without a meaning.
    #[error("the sort order or the sort target is unknown")]
    InvalidSort,
    /// A step of a transaction says nothing.
    #[error("a step of the transaction has no request")]
    MissingOperation,
    /// A comparison's relation or target is a number without a meaning.
    #[error("a comparison is of an unknown kind")]
    UnknownComparison,
}

impl RequestError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            RequestError::Check(violation) => violation.code(),
            RequestError::InvalidSort
            | RequestError::MissingOperation
            | RequestError::UnknownComparison => ErrorCode::InvalidArgument,
        }
    }
}

/// A read; whether it may be answered by this node alone is the request's `serializable`.
pub fn range(request: RangeRequest, limits: &Limits) -> Result<Range, RequestError> {
    let range = bare_range(request)?;
    check::range(&range, limits)?;
    Ok(range)
}

/// A write.
pub fn put(request: PutRequest, limits: &Limits) -> Result<Put, RequestError> {
    let encoded_bytes = request.encoded_len();
    let put = bare_put(request);
    check::put(&put, limits)?;
    check::encoded(encoded_bytes, limits)?;
    Ok(put)
}

/// A deletion.
pub fn delete(request: DeleteRangeRequest, limits: &Limits) -> Result<Delete, RequestError> {
    let encoded_bytes = request.encoded_len();
    let delete = bare_delete(request);
    check::delete(&delete, limits)?;
    check::encoded(encoded_bytes, limits)?;
    Ok(delete)
}

/// A transaction.
pub fn txn(request: TxnRequest, limits: &Limits) -> Result<Txn, RequestError> {
    let encoded_bytes = request.encoded_len();
    let txn = bare_txn(request)?;
    check::txn(&txn, limits)?;
    check::encoded(encoded_bytes, limits)?;
    Ok(txn)
}

/// A compaction.
pub fn compact(request: CompactionRequest, limits: &Limits) -> Result<Compact, RequestError> {
    let compact = Compact {
        revision: Revision(request.revision),
    };
    check::compact(&compact, limits)?;
    Ok(compact)
}

fn bare_range(request: RangeRequest) -> Result<Range, RequestError> {
    let order =
        SortOrder::try_from(request.sort_order).map_err(|_unknown| RequestError::InvalidSort)?;
    let target = match WireSort::try_from(request.sort_target) {
        Ok(WireSort::Key) => SortTarget::Key,
        Ok(WireSort::Version) => SortTarget::Version,
        Ok(WireSort::Create) => SortTarget::CreateRevision,
        Ok(WireSort::Mod) => SortTarget::ModRevision,
        Ok(WireSort::Value) => SortTarget::Value,
        Err(_unknown) => return Err(RequestError::InvalidSort),
    };
    Ok(Range {
        keys: keys::from_wire(request.key, request.range_end),
        // Below zero stands for the current revision too.
        revision: Revision(request.revision.max(0)),
        // Below zero is no limit.
        limit: u64::try_from(request.limit).unwrap_or(0),
        sort: Sort {
            target,
            // No order is ascending, whatever the target.
            descending: order == SortOrder::Descend,
        },
        keys_only: request.keys_only,
        count_only: request.count_only,
        uncounted: request.uncounted,
        filter: Filter {
            mod_revision_min: Revision(request.min_mod_revision),
            mod_revision_max: Revision(request.max_mod_revision),
            create_revision_min: Revision(request.min_create_revision),
            create_revision_max: Revision(request.max_create_revision),
        },
    })
}

fn bare_put(request: PutRequest) -> Put {
    Put {
        key: request.key,
        value: request.value,
        lease: request.lease,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

fn bare_delete(request: DeleteRangeRequest) -> Delete {
    Delete {
        keys: keys::from_wire(request.key, request.range_end),
        prev_kv: request.prev_kv,
    }
}

fn bare_txn(request: TxnRequest) -> Result<Txn, RequestError> {
    Ok(Txn {
        compare: request
            .compare
            .into_iter()
            .map(bare_compare)
            .collect::<Result<_, _>>()?,
        then: operations(request.success)?,
        otherwise: operations(request.failure)?,
    })
}

fn operations(steps: Vec<RequestOp>) -> Result<Vec<Operation>, RequestError> {
    steps.into_iter().map(operation).collect()
}

fn operation(step: RequestOp) -> Result<Operation, RequestError> {
    match step.request.ok_or(RequestError::MissingOperation)? {
        Request::RequestRange(range) => bare_range(range).map(Operation::Range),
        Request::RequestPut(put) => Ok(Operation::Put(bare_put(put))),
        Request::RequestDeleteRange(delete) => Ok(Operation::Delete(bare_delete(delete))),
        Request::RequestTxn(txn) => bare_txn(txn).map(Operation::Txn),
    }
}

fn bare_compare(compare: WireCompare) -> Result<Compare, RequestError> {
    let relation = match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => Relation::Equal,
        Ok(CompareResult::Greater) => Relation::Greater,
        Ok(CompareResult::Less) => Relation::Less,
        Ok(CompareResult::NotEqual) => Relation::NotEqual,
        Err(_unknown) => return Err(RequestError::UnknownComparison),
    };
    // The target decides; a union of another kind, or none, leaves zero or the empty value.
    let target = match (WireTarget::try_from(compare.target), compare.target_union) {
        (Ok(WireTarget::Version), Some(TargetUnion::Version(version))) => {
            CompareTarget::Version(version)
        }
        (Ok(WireTarget::Version), _) => CompareTarget::Version(0),
        (Ok(WireTarget::Create), Some(TargetUnion::CreateRevision(revision))) => {
            CompareTarget::CreateRevision(revision)
        }
        (Ok(WireTarget::Create), _) => CompareTarget::CreateRevision(0),
        (Ok(WireTarget::Mod), Some(TargetUnion::ModRevision(revision))) => {
            CompareTarget::ModRevision(revision)
        }
        (Ok(WireTarget::Mod), _) => CompareTarget::ModRevision(0),
        (Ok(WireTarget::Value), Some(TargetUnion::Value(value))) => CompareTarget::Value(value),
        (Ok(WireTarget::Value), _) => CompareTarget::Value(bytes::Bytes::new()),
        (Ok(WireTarget::Lease), Some(TargetUnion::Lease(lease))) => CompareTarget::Lease(lease),
        (Ok(WireTarget::Lease), _) => CompareTarget::Lease(0),
        (Err(_unknown), _) => return Err(RequestError::UnknownComparison),
    };
    Ok(Compare {
        keys: keys::from_wire(compare.key, compare.range_end),
        relation,
        target,
    })
}
