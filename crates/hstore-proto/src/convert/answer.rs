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
use crate::mvccpb::event::EventType;
use crate::mvccpb::{Event, KeyValue};

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
    let written = changes(&reply);
    let mut steps = Steps {
        // Until its first change a transaction sees the store as the one before left it.
        seen: header.revision - i64::from(written),
        written: header.revision,
    };
    steps.txn(header, reply)
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

/// A record as an event. `previous` is what it replaced, where that was asked for.
pub fn event(record: Record, previous: Option<Record>) -> Event {
    let kind = if record.meta.is_tombstone() {
        EventType::Delete
    } else {
        EventType::Put
    };
    Event {
        r#type: kind.into(),
        kv: Some(key_value(record)),
        prev_kv: previous.map(key_value),
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

/// The steps of a transaction in their order. As in etcd their headers carry a revision and
/// nothing else, and that of an inner transaction not even this.
struct Steps {
    /// The revision that the next step sees.
    seen: i64,
    /// The revision that the transaction's changes have.
    written: i64,
}

impl Steps {
    fn txn(&mut self, header: ResponseHeader, reply: Reply) -> Result<TxnResponse, WrongReply> {
        let Reply::Txn { succeeded, replies } = reply else {
            return Err(WrongReply);
        };
        let responses = replies
            .into_iter()
            .map(|reply| self.step(reply))
            .collect::<Result<_, _>>()?;
        Ok(TxnResponse {
            header: Some(header),
            succeeded,
            responses,
        })
    }

    fn step(&mut self, reply: Reply) -> Result<ResponseOp, WrongReply> {
        let is_txn = matches!(reply, Reply::Txn { .. });
        if !is_txn && changes(&reply) {
            self.seen = self.written;
        }
        let header = ResponseHeader {
            revision: if is_txn { 0 } else { self.seen },
            ..ResponseHeader::default()
        };
        let response = match reply {
            Reply::Range(result) => Response::ResponseRange(range(header, result)),
            Reply::Put { .. } => Response::ResponsePut(put(header, reply)?),
            Reply::Delete { .. } => Response::ResponseDeleteRange(delete(header, reply)?),
            Reply::Txn { .. } => Response::ResponseTxn(self.txn(header, reply)?),
            Reply::Alarms(_)
            | Reply::Auth
            | Reply::Compact
            | Reply::Lease(_)
            | Reply::Node(_)
            | Reply::Settings(_)
            | Reply::Untold => {
                return Err(WrongReply);
            }
        };
        Ok(ResponseOp {
            response: Some(response),
        })
    }
}

/// Whether the command changed a key.
fn changes(reply: &Reply) -> bool {
    match reply {
        Reply::Put { .. } => true,
        Reply::Delete { deleted, .. } => *deleted > 0,
        Reply::Txn { replies, .. } => replies.iter().any(changes),
        Reply::Alarms(_)
        | Reply::Auth
        | Reply::Compact
        | Reply::Lease(_)
        | Reply::Node(_)
        | Reply::Range(_)
        | Reply::Settings(_)
        | Reply::Untold => false,
    }
}
