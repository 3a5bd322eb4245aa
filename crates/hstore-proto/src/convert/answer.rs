//! From outcomes and results to the wire.

use hstore_core::outcome::Reply;
use hstore_core::range::RangeResult;
use hstore_core::record::Record;

use crate::etcdserverpb::response_op::Response;
use crate::etcdserverpb::{
    CompactionResponse, DeleteRangeResponse, PutResponse, RangeResponse, ResponseHeader,
    ResponseOp, TxnResponse,
};
use crate::hstore::v1::HistoryRecord;
use crate::mvccpb::KeyValue;

/// A reply that is of another kind than its command: a broken law of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store gave an answer of another kind than the question")]
pub struct WrongReply;

/// What a read found.
pub fn range(header: ResponseHeader, result: RangeResult) -> RangeResponse {
    RangeResponse {
        header: Some(header),
        kvs: result.records.into_iter().map(key_value).collect(),
        more: result.more,
        count: result.count as i64,
    }
}

/// The key was written.
pub fn put(header: ResponseHeader, reply: Reply) -> Result<PutResponse, WrongReply> {
    match reply {
        Reply::Put { previous } => Ok(PutResponse {
            header: Some(header),
            prev_kv: previous.map(key_value),
        }),
        _ => Err(WrongReply),
    }
}

/// Keys were deleted.
pub fn delete(header: ResponseHeader, reply: Reply) -> Result<DeleteRangeResponse, WrongReply> {
    match reply {
        Reply::Delete { deleted, previous } => Ok(DeleteRangeResponse {
            header: Some(header),
            deleted: deleted as i64,
            prev_kvs: previous.into_iter().map(key_value).collect(),
        }),
        _ => Err(WrongReply),
    }
}

/// The transaction ran.
pub fn txn(header: ResponseHeader, reply: Reply) -> Result<TxnResponse, WrongReply> {
    match reply {
        Reply::Txn { succeeded, replies } => {
            // etcd's steps carry the revision and nothing else in their headers.
            let inner = ResponseHeader {
                revision: header.revision,
                ..ResponseHeader::default()
            };
            let responses = replies
                .into_iter()
                .map(|reply| step(inner, reply))
                .collect::<Result<_, _>>()?;
            Ok(TxnResponse {
                header: Some(header),
                succeeded,
                responses,
            })
        }
        _ => Err(WrongReply),
    }
}

/// The history is gone.
pub fn compact(header: ResponseHeader, reply: &Reply) -> Result<CompactionResponse, WrongReply> {
    match reply {
        Reply::Compact => Ok(CompactionResponse {
            header: Some(header),
        }),
        _ => Err(WrongReply),
    }
}

/// A record in etcd's words.
pub fn key_value(record: Record) -> KeyValue {
    KeyValue {
        key: record.key,
        create_revision: record.meta.create_revision.0,
        mod_revision: record.meta.mod_revision.0,
        version: record.meta.version,
        value: record.value,
        lease: record.meta.lease,
    }
}

/// A record as a line of a key's history.
pub fn history_record(record: Record) -> HistoryRecord {
    HistoryRecord {
        create_revision: record.meta.create_revision.0,
        mod_revision: record.meta.mod_revision.0,
        version: record.meta.version,
        value: record.value,
        lease: record.meta.lease,
        deleted: record.meta.is_tombstone(),
    }
}

fn step(header: ResponseHeader, reply: Reply) -> Result<ResponseOp, WrongReply> {
    let response = match reply {
        Reply::Range(result) => Response::ResponseRange(range(header, result)),
        Reply::Put { .. } => Response::ResponsePut(put(header, reply)?),
        Reply::Delete { .. } => Response::ResponseDeleteRange(delete(header, reply)?),
        Reply::Txn { .. } => Response::ResponseTxn(txn(header, reply)?),
        Reply::Compact | Reply::Node(_) => return Err(WrongReply),
    };
    Ok(ResponseOp {
        response: Some(response),
    })
}
