//! What a transaction is made of: comparisons and steps, in words.
//!
//! ```
//! use hstore_client::etcdserverpb::TxnRequest;
//! use hstore_client::{KeyRange, txn};
//!
//! let request = TxnRequest {
//!     compare: vec![txn::compare("foo", txn::Relation::Equal, txn::Target::Value("bar".into()))],
//!     success: vec![txn::put("foo", "baz")],
//!     failure: vec![txn::get(KeyRange::One("foo".into()))],
//! };
//! assert_eq!(request.success.len(), 1);
//! ```

use bytes::Bytes;
use hstore_core::key::KeyRange;
use hstore_proto::convert::keys;
use hstore_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use hstore_proto::etcdserverpb::request_op::Request as Step;
use hstore_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp,
};

/// How a key compares with what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It is the same.
    Equal,
    /// It is larger.
    Greater,
    /// It is smaller.
    Less,
    /// It is not the same.
    NotEqual,
}

/// What of a key is compared, and with what. A key that is not there has 0 everywhere, and no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The revision that created it.
    CreateRevision(i64),
    /// The lease that it is attached to.
    Lease(i64),
    /// The revision that wrote it last.
    ModRevision(i64),
    /// Its value.
    Value(Bytes),
    /// How often it was written since it was created.
    Version(i64),
}

/// A comparison of one key.
pub fn compare(key: impl Into<Bytes>, relation: Relation, target: Target) -> Compare {
    let result = match relation {
        Relation::Equal => CompareResult::Equal,
        Relation::Greater => CompareResult::Greater,
        Relation::Less => CompareResult::Less,
        Relation::NotEqual => CompareResult::NotEqual,
    };
    let (target, union) = match target {
        Target::CreateRevision(revision) => {
            (CompareTarget::Create, TargetUnion::CreateRevision(revision))
        }
        Target::Lease(lease) => (CompareTarget::Lease, TargetUnion::Lease(lease)),
        Target::ModRevision(revision) => (CompareTarget::Mod, TargetUnion::ModRevision(revision)),
        Target::Value(value) => (CompareTarget::Value, TargetUnion::Value(value)),
        Target::Version(version) => (CompareTarget::Version, TargetUnion::Version(version)),
    };
    Compare {
        result: result.into(),
        target: target.into(),
        key: key.into(),
        target_union: Some(union),
        range_end: Bytes::new(),
    }
}

/// Writes a key.
pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> RequestOp {
    write(PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    })
}

/// Writes a key, with everything that can be said about it.
pub fn write(request: PutRequest) -> RequestOp {
    RequestOp {
        request: Some(Step::RequestPut(request)),
    }
}

/// Reads the keys of a range.
pub fn get(range: KeyRange) -> RequestOp {
    let (key, range_end) = keys::to_wire(range);
    read(RangeRequest {
        key,
        range_end,
        ..RangeRequest::default()
    })
}

/// Reads, with everything that can be said about it.
pub fn read(request: RangeRequest) -> RequestOp {
    RequestOp {
        request: Some(Step::RequestRange(request)),
    }
}

/// Deletes the keys of a range.
pub fn delete(range: KeyRange) -> RequestOp {
    let (key, range_end) = keys::to_wire(range);
    RequestOp {
        request: Some(Step::RequestDeleteRange(DeleteRangeRequest {
            key,
            range_end,
            prev_kv: false,
        })),
    }
}
